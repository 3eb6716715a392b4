"""Our signatures are those of AWS's own library, and of the vectors it publishes."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
import time_machine
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from providers.sigv4 import AccessKey, canonical_request, sign

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
KEY = AccessKey("TESTACCESSKEY", "test-secret")
JSON = {"content-type": "application/json"}
CONVERSE = "https://bedrock-runtime.eu-west-1.amazonaws.com/model/example.model-v1%3A0/converse"
BODY = b'{"messages":[{"role":"user","content":[{"text":"Hi"}]}]}'


def ours(method: str, url: str, headers: dict[str, str], body: bytes, key: AccessKey = KEY) -> dict[str, str]:
    return sign(method, url, headers, body, key=key, region="eu-west-1", service="bedrock", now=NOW)


def theirs(method: str, url: str, headers: dict[str, str], body: bytes, key: AccessKey = KEY) -> dict[str, str]:
    request = AWSRequest(method, url, dict(headers), body)
    with time_machine.travel(NOW, tick=False):
        credentials = Credentials(key.id, key.secret, key.token or None)
        SigV4Auth(credentials, "bedrock", "eu-west-1").add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


CASES = {
    "a chat": ("POST", CONVERSE, JSON, BODY),
    "a stream": ("POST", f"{CONVERSE}-stream", JSON | {"accept": "application/vnd.amazon.eventstream"}, BODY),
    "an arn": (
        "POST",
        "https://bedrock-runtime.eu-west-1.amazonaws.com/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3A"
        "inference-profile%2Feu.example-v1%3A0/converse",
        JSON,
        BODY,
    ),
    "a list": ("GET", "https://bedrock.eu-west-1.amazonaws.com/foundation-models", {}, b""),
    "a query": ("GET", "https://bedrock.eu-west-1.amazonaws.com/x?b=2&a=%2B1&a=%2A0&c", {}, b""),
    "no path": ("GET", "https://bedrock.eu-west-1.amazonaws.com", {}, b""),
    "dots and empty steps": ("GET", "https://bedrock.eu-west-1.amazonaws.com/a/./b//../c/", {}, b""),
    "a port": ("POST", "https://127.0.0.1:8443/model/m/converse", JSON, BODY),
    "the usual port": ("POST", "https://127.0.0.1:443/model/m/converse", JSON, BODY),
    "blanks in a header": ("POST", CONVERSE, JSON | {"x-note": "  two   words "}, BODY),
    "unicode": ("POST", CONVERSE, JSON, '{"text":"Grüße 日本"}'.encode()),
    "an unreserved sign": ("GET", "https://bedrock.eu-west-1.amazonaws.com/~a-b_c.d", {}, b""),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("token", ["", "test-session/token+with=signs"], ids=["key", "session"])
def test_it_signs_as_the_library_of_the_vendor_does(case: tuple[str, str, dict[str, str], bytes], token: str) -> None:
    key = AccessKey(KEY.id, KEY.secret, token)
    assert ours(*case, key=key) == theirs(*case, key=key)


@given(
    model=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40),
    body=st.binary(max_size=200),
)
def test_any_model_and_any_body(model: str, body: bytes) -> None:
    url = f"https://bedrock-runtime.eu-west-1.amazonaws.com/model/{quote(model, safe='-_.~')}/converse"
    assert ours("POST", url, JSON, body)["authorization"] == theirs("POST", url, JSON, body)["authorization"]


def test_the_path_is_encoded_twice() -> None:
    headers = JSON | {"host": "bedrock-runtime.eu-west-1.amazonaws.com", "x-amz-date": "20261121T120000Z"}
    request = canonical_request("POST", CONVERSE, headers, BODY)
    assert request.splitlines()[1] == "/model/example.model-v1%253A0/converse"
    assert hashlib.sha256(request.encode()).hexdigest() == (
        "8efe8876bfa5b6996e7f27afaa137dcd41552a28e0dfc1c8fbe3c34655f43dec"
    )
    assert ours("POST", CONVERSE, JSON, BODY)["authorization"].endswith(
        "Signature=0aceb6393e327efd6fadbfb498b47fcd1bfe7293f5d969730cbe72f7b29b6b38"
    )


def test_a_published_vector() -> None:
    """`get-vanilla` of AWS's test suite: the key in it is the one of their documentation."""
    key = AccessKey("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    now = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
    url = "https://example.amazonaws.com/"
    headers = sign("GET", url, {}, b"", key=key, region="us-east-1", service="service", now=now)
    assert headers["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        "SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    )


def test_a_key_does_not_show_itself() -> None:
    assert "test-secret" not in repr(KEY)

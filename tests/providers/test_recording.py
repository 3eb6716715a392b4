"""`manage.py provider record`: five questions to a provider on a real socket, and nobody's secrets in what is kept."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from providers.models import Provider
from providers.recording import NO_MODEL, Scrubber
from tests.cloud import Answer, Cloud, pieces, whole
from tests.factories import make_model, make_provider
from tests.misbehaviour import DONE, event
from tests.providers.talk import target
from tests.upstream import Seen, refusing_url

pytestmark = pytest.mark.django_db

SECRET = "test-key-abcdefghijklmnop-9876"
NAMES = ("plain", "tool-stream", "bad-key", "unknown-model", "too-long")


def answer(seen: Seen) -> Answer:
    key = seen.headers.get("authorization", "").removeprefix("Bearer ")
    asked = seen.json
    if key != SECRET:
        said = {"error": {"message": f"Incorrect API key provided: {key[:8]}***{key[-4:]}.", "code": "invalid_api_key"}}
        return whole(said, 401, x_account="acct_1234567890", retry_after="3")
    if asked["model"] == NO_MODEL:
        return whole({"error": {"message": "No such model for org-AbCdEf123456."}, "user_id": "user-1"}, 404)
    if len(seen.body) > 5000:
        return whole({"error": {"message": f"Too long, {SECRET[4:16]}.", "code": "context_length_exceeded"}}, 400)
    if asked.get("stream"):
        call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "lookup", "arguments": "{}"}}
        told = [event({"tool_calls": [call]}), event({}, "tool_calls"), DONE]
        return pieces(*told, content_type="text/event-stream")
    return whole({"id": "c", "choices": [{"message": {"content": f"Hello, your key is {SECRET}"}}]})


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with Cloud(answer) as cloud:
        yield cloud


@pytest.fixture
def provider(cloud: Cloud) -> Provider:
    provider = make_provider(
        "House", "vllm", base_url=f"{cloud.url}/v1", secret=SECRET, options={"project_id": "p-secret-name"}
    )
    make_model(provider, "m-1", context=1000)
    make_model(provider, "bge-m3", use="embedding")
    cloud.requests.clear()
    return provider


def run(*words: str) -> str:
    said = io.StringIO()
    call_command("provider", "record", *words, stdout=said, stderr=io.StringIO())
    return said.getvalue()


def test_five_questions(provider: Provider, cloud: Cloud, tmp_path: Path) -> None:
    said = run("house", "--into", str(tmp_path / "kept"))
    assert [line for line in said.splitlines() if line[0] != " "] == [
        "plain: 200", "tool-stream: 200", "bad-key: 401", "unknown-model: 404", "too-long: 400",
    ]  # fmt: skip
    kept = {file.name: file.read_bytes() for file in (tmp_path / "kept").iterdir()}
    assert kept.keys() == {f"vllm-{name}-{what}.txt" for name in NAMES for what in ("request", "answer")}
    assert [seen.model for seen in cloud.requests] == ["m-1", "m-1", "m-1", NO_MODEL, "m-1"]
    assert [seen.streamed for seen in cloud.requests] == [False, True, False, False, False]
    assert len(cloud.requests[-1].json["messages"][0]["content"].split()) == 1200, "a fifth more than fits"
    first, *headers = kept["vllm-plain-request.txt"].split(b"\n")
    assert first.startswith(b"POST http://")
    assert b"authorization: <left out>" in headers
    head, _, body = kept["vllm-tool-stream-answer.txt"].partition(b"\n\n")
    assert head.startswith(b"200\n")
    assert body.endswith(DONE)
    assert json.loads(kept["vllm-tool-stream-request.txt"].partition(b"\n\n")[2])["tools"]


def test_nobodys_secrets_are_kept(provider: Provider, tmp_path: Path) -> None:
    run("house", "--into", str(tmp_path))
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert not any(
        SECRET[at : at + 6].encode() in kept for at in range(len(SECRET) - 5) if "key" not in SECRET[at : at + 6]
    )
    for word in (b"AbCdEf123456", b"user-1", b"acct_1234567890", b"p-secret-name", b"good."):
        assert word not in kept
    assert b"retry-after: 3" in kept
    assert b"x-account: <left out>" in kept


def test_binary_answers_keep_their_length() -> None:
    to = target(kind="bedrock", base_url="https://resource-of-ours.example.com", secret=SECRET)
    data = b"\x00\x00\x00\x10" + SECRET.encode() + b"\xff arn:aws:bedrock:eu-west-1:123456789012:x resource-of-ours"
    scrubbed = Scrubber([SECRET], to)(data)
    assert len(scrubbed) == len(data)
    assert scrubbed.startswith(b"\x00\x00\x00\x10***")
    assert not any(word in scrubbed for word in (SECRET.encode(), b"123456789012", b"resource-of-ours"))


@pytest.mark.parametrize(
    "text",
    [
        "sk-test-key-abcdefghijkl",
        "Bearer abcdefghijkl",
        "eyJhbGciOi.eyJzdWIi.c2lnbg",
        "someone@example.org",
        "xa***yz",
        '"user_id": "Anna \\"A\\""',
        '"organization":"our house"',
    ],
)
def test_what_tells_whose_it_is(text: str) -> None:
    scrubbed = Scrubber([], target())(text.encode()).decode()
    assert len(scrubbed) == len(text)
    assert "***" in scrubbed
    assert not any(word in scrubbed for word in ("abcdefghijkl", "c2lnbg", "someone", "xa", "Anna", "house"))


def test_a_provider_that_does_not_answer(tmp_path: Path) -> None:
    provider = make_provider("Gone", "vllm", base_url=refusing_url())
    make_model(provider, "m")
    said = run("gone", "--into", str(tmp_path))
    assert said.count("no answer: ") == 5, "it has no key, so a bad one was not tried"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [(["nobody"], "no provider 'nobody'"), (["house", "--model", "x"], "no model 'x'")],
)
def test_what_cannot_be_asked(provider: Provider, words: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=message):
        run(*words, "--into", str(tmp_path))


def test_a_kind_that_is_gone(tmp_path: Path) -> None:
    make_provider("Old", "never-heard-of")
    with pytest.raises(CommandError, match="does not speak"):
        run("old")

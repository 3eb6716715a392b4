"""Azure OpenAI in both of its styles: where requests go, what they carry, and what its refusals mean."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers.adapters import adapter_for
from providers.chat import EmbeddingRequest, TextDelta
from providers.errors import BadCredentials, ContextTooLong, ModelNotFound, ProviderError, RateLimited, Refused
from providers.registry import KINDS
from providers.wiring import HttpAnswer, HttpRequest, Target
from tests.providers.talk import asks

KEY = "test-key-azure-0123456789"
HOST = "https://house.openai.azure.com"
FOUNDRY = "https://house.services.ai.azure.com"
ADAPTER = adapter_for(KINDS["azure-openai"])


def to(base_url: str = HOST, secret: str = KEY, **options: Any) -> Target:
    return Target(1, "az", KINDS["azure-openai"], base_url, "my deployment", secret=secret, options=options)


def chat(target: Target, **more: Any) -> HttpRequest:
    return ADAPTER.chat_request(asks(**more), target)[0]


CLASSIC = f"{HOST}/openai/deployments/my%20deployment/chat/completions?api-version="
V1 = f"{HOST}/openai/v1/chat/completions"


@pytest.mark.parametrize(
    ("base_url", "options", "url"),
    [
        (HOST, {}, f"{CLASSIC}2024-10-21"),
        (f"{HOST}/", {"api_version": "2025-04-01-preview"}, f"{CLASSIC}2025-04-01-preview"),
        (f"{HOST}/openai", {}, f"{CLASSIC}2024-10-21"),
        (f"{HOST}/openai/deployments/other", {}, f"{CLASSIC}2024-10-21"),
        (f"{HOST}/openai/deployments/other/chat/completions", {}, f"{CLASSIC}2024-10-21"),
        (f"{HOST}/openai/v1", {"style": "classic"}, f"{CLASSIC}2024-10-21"),
        (HOST, {"style": "v1"}, V1),
        (f"{HOST}/openai/v1", {}, V1),
        (f"{HOST}/openai/v1/", {"api_version": "2024-10-21"}, V1),
        (f"{HOST}/openai/deployments/other", {"style": "v1"}, V1),
        (f"{FOUNDRY}/openai/v1", {}, f"{FOUNDRY}/openai/v1/chat/completions"),
        ("https://openai.example/azure/openai/v1", {}, "https://openai.example/azure/openai/v1/chat/completions"),
        ("https://openai", {"style": "v1"}, "https://openai/openai/v1/chat/completions"),
    ],
)
def test_where_a_chat_goes(base_url: str, options: dict[str, Any], url: str) -> None:
    assert chat(to(base_url, **options)).url == url


@pytest.mark.parametrize("style", ["classic", "v1"])
def test_the_deployment_is_the_model(style: str) -> None:
    http = chat(to(style=style), max_tokens=5)
    body = json.loads(http.body)
    assert body["model"] == "my deployment"
    assert body["max_completion_tokens" if style == "v1" else "max_tokens"] == 5
    assert http.kind is not None
    assert http.kind.slug == "azure-openai"


@pytest.mark.parametrize(
    ("secret", "headers"),
    [
        (KEY, {"api-key": KEY}),
        ("eyJhbGciOi.eyJzdWIiOi.c2lnbmVk", {"authorization": "Bearer eyJhbGciOi.eyJzdWIiOi.c2lnbmVk"}),
        ("Bearer test-token", {"authorization": "Bearer test-token"}),
        ('{"tenant_id":"t","client_id":"c","client_secret":"test-secret"}', {}),
    ],
    ids=["key", "token", "marked token", "not signed in yet"],
)
def test_one_header_carries_the_secret(secret: str, headers: dict[str, str]) -> None:
    sent = chat(to(secret=secret)).headers
    assert {name: sent[name] for name in ("api-key", "authorization") if name in sent} == headers


def test_the_other_questions() -> None:
    classic, v1 = to(), to(style="v1")
    assert ADAPTER.models_request(classic) is None
    assert ADAPTER.models_request(v1) is None
    health = [request.url for one in (classic, v1) if (request := ADAPTER.health_request(one))]
    assert health == [f"{HOST}/openai/models?api-version=2024-10-21", f"{HOST}/openai/v1/models"]
    asked = EmbeddingRequest(["hi"])
    assert [ADAPTER.embedding_request(asked, one)[0].url for one in (classic, v1)] == [
        f"{HOST}/openai/deployments/my%20deployment/embeddings?api-version=2024-10-21",
        f"{HOST}/openai/v1/embeddings",
    ]


def test_a_filters_report_before_the_answer_is_no_answer() -> None:
    frames = [
        {"choices": [], "prompt_filter_results": [{"prompt_index": 0}], "id": "", "model": ""},
        {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}], "id": "c", "model": "gpt"},
        {"choices": [{"index": 0, "content_filter_results": {}, "content_filter_offsets": {"check_offset": 1}}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    ]
    decoder = ADAPTER.decoder(asks(stream=True), to())
    data = b"".join(b"data: " + json.dumps(frame).encode() + b"\n\n" for frame in frames) + b"data: [DONE]\n\n"
    assert [event.text for event in decoder.feed(data) if isinstance(event, TextDelta)] == ["Hi"]


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, {"message": "The response was filtered", "type": None, "param": "prompt", "code": "content_filter",
               "status": 400, "innererror": {"code": "ResponsibleAIPolicyViolation"}}, Refused),
        (400, {"code": "x", "message": "Filtered", "inner_error": {"code": "ResponsibleAIPolicyViolation"}}, Refused),
        (400, {"code": "context_length_exceeded", "message": "Too long"}, ContextTooLong),
        (400, {"code": None, "message": "Input tokens exceed the configured limit of 272000 tokens."}, ContextTooLong),
        (401, {"code": "401", "message": "Access denied due to invalid subscription key or wrong API endpoint."},
         BadCredentials),
        (403, {"code": "403", "message": "The principal lacks the required data action."}, BadCredentials),
        (404, {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist."},
         ModelNotFound),
        (429, {"code": "429", "message": "Exceeded token rate limit. Please retry after 34 seconds."}, RateLimited),
    ],
)  # fmt: skip
def test_refusals(status: int, error: Any, kind: type[ProviderError]) -> None:
    told = ADAPTER.error(HttpAnswer(status, {}, json.dumps({"error": error}).encode()), to())
    assert type(told) is kind
    if kind is RateLimited:
        assert told.retry_after == 34


def test_a_wait_in_milliseconds_counts_first() -> None:
    headers = {"retry-after-ms": "2500", "retry-after": "60"}
    told = ADAPTER.error(HttpAnswer(429, headers, b'{"error":{"code":"429","message":"Slow down."}}'), to())
    assert told.retry_after == 2.5

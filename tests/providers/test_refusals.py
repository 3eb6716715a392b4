# ruff: noqa: E501 - a table of cases, one a line: wrapped they would be harder to read
"""What a vendor's "no" means, in each of the shapes there are."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.adapters.refusals import cleaned, refusal, wait_of
from providers.errors import (
    BadCredentials,
    BadRequest,
    ContextTooLong,
    ModelNotFound,
    Overloaded,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    Refused,
    TimedOut,
)
from tests.providers.talk import SECRET, target


def said(status: int, body: Any, kind: str = "openai", **headers: str) -> ProviderError:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return refusal(status, {name.replace("_", "-"): value for name, value in headers.items()}, data, target(kind=kind))


def error(message: str, code: Any = None, kind: str | None = "invalid_request_error", **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code} | more}


CASES: list[tuple[str, int, Any, type[ProviderError]]] = [
    # kind, status, body, what it is
    ("openai", 401, error("Incorrect API key provided: sk-abc***wxyz", "invalid_api_key"), BadCredentials),
    ("deepseek", 401, error("Authentication Fails", "invalid_request_error", "authentication_error"), BadCredentials),
    ("deepseek", 401, b"Authentication Fails (governor)", BadCredentials),
    ("mistral", 401, {"detail": "Unauthorized"}, BadCredentials),
    ("vllm", 401, {"error": "Unauthorized"}, BadCredentials),
    ("azure-openai", 401, error("Access denied due to invalid subscription key", "401", None), BadCredentials),
    ("xai", 400, {"code": "Client specified an invalid argument", "error": "Incorrect API key provided: xa***yz."}, BadCredentials),
    ("scaleway", 403, {"message": "insufficient permissions"}, BadCredentials),
    ("openai", 403, b"<html>blocked by cloudflare</html>", BadCredentials),
    ("openai", 429, error("You exceeded your current quota", "insufficient_quota", "insufficient_quota"), QuotaExhausted),
    ("openai", 429, error("No credit.", "credit_balance_exhausted", None), QuotaExhausted),
    ("deepseek", 402, error("Insufficient Balance", "invalid_request_error", "unknown_error"), QuotaExhausted),
    ("moonshot", 429, error("suspended due to insufficient balance", None, "exceeded_current_quota_error"), QuotaExhausted),
    ("zhipu", 429, {"error": {"code": "1113", "message": "余额不足"}}, QuotaExhausted),
    ("qwen", 400, error("Access denied.", "Arrearage", None), QuotaExhausted),
    ("qwen", 429, error("You exceeded your current quota, please check your plan.", "Throttling.AllocationQuota"), QuotaExhausted),
    ("xai", 403, {"code": "No permission", "error": "Your newly created team doesn't have any credits yet."}, QuotaExhausted),
    ("huggingface", 402, {"error": "You have exceeded your monthly included credits for Inference Providers."}, QuotaExhausted),
    ("openrouter", 402, error("This request requires more credits; you can only afford 12", 402, None), QuotaExhausted),
    ("openai", 429, error("Rate limit reached", "rate_limit_exceeded", "tokens"), RateLimited),
    ("zhipu", 429, {"error": {"code": "1302", "message": "Rate limit reached for requests"}}, RateLimited),
    ("mistral", 429, {"object": "error", "message": "Requests rate limit exceeded", "type": "x", "code": "3505"}, RateLimited),
    ("azure-openai", 429, error("exceeded token rate limit. Please retry after 34 seconds.", "429", None), RateLimited),
    ("mistral", 429, {"object": "error", "message": "Service tier capacity exceeded", "code": "3810"}, Overloaded),
    ("moonshot", 429, error("The engine is currently overloaded", None, "engine_overloaded_error"), Overloaded),
    ("zhipu", 429, {"error": {"code": 1305, "message": "busy"}}, Overloaded),
    ("openai", 503, error("The server is overloaded", "server_is_overloaded", "server_error"), Overloaded),
    ("groq", 498, error("flex capacity"), Overloaded),
    ("openai", 529, b"", Overloaded),
    ("groq", 413, error("Request too large for model: TPM Limit 8000", "rate_limit_exceeded", "tokens"), BadRequest),
    ("openai", 400, error("This model's maximum context length is 8192 tokens.", "context_length_exceeded"), ContextTooLong),
    ("vllm", 400, error("This model's maximum context length is 4096 tokens", 400, "BadRequestError"), ContextTooLong),
    ("vllm", 400, {"object": "error", "message": "longer than the maximum model length of 4096", "code": 400}, ContextTooLong),
    ("mistral", 400, {"object": "error", "message": "Prompt is too large for model with 32768 maximum context length"}, ContextTooLong),
    ("xai", 400, {"code": "x", "error": "This model's maximum prompt length is 131072 but the request contains 200000"}, ContextTooLong),
    ("groq", 400, error("Please reduce the length of the messages or completion."), ContextTooLong),
    ("docker-model-runner", 400, error("the request exceeds the available context size", 400, "exceed_context_size_error"), ContextTooLong),
    ("lmstudio", 400, {"error": "the model is loaded with context length of only 4096 tokens, which is not enough."}, ContextTooLong),
    ("ollama", 400, error("prompt is longer than the context length currently available"), ContextTooLong),
    ("qwen", 400, error("Range of input length should be [1, 30720]", "InvalidParameter", None), ContextTooLong),
    ("zhipu", 400, {"error": {"code": "1261", "message": "Prompt too long"}}, ContextTooLong),
    ("azure-openai", 400, error("The response was filtered", "content_filter", None, innererror={"code": "ResponsibleAIPolicyViolation"}), Refused),
    ("openai", 400, error("Your request was rejected.", "content_policy_violation"), Refused),
    ("qwen", 400, error("Input data may contain inappropriate content.", "DataInspectionFailed", None), Refused),
    ("openai", 404, error("The model `x` does not exist", "model_not_found"), ModelNotFound),
    ("mistral", 400, {"object": "error", "message": "Invalid model: x", "type": "invalid_model", "code": "1500"}, ModelNotFound),
    ("scaleway", 422, {"detail": "model not found"}, ModelNotFound),
    ("groq", 400, error("decommissioned", "model_decommissioned"), ModelNotFound),
    ("huggingface", 400, error("not supported by any provider you have enabled", "model_not_supported"), ModelNotFound),
    ("openrouter", 400, error("x/y is not a valid model ID", 400, None), ModelNotFound),
    ("azure-openai", 404, error("The API deployment does not exist.", "DeploymentNotFound", None), ModelNotFound),
    ("docker-model-runner", 404, b"model not found\n", ModelNotFound),
    ("lmstudio", 400, error("No models loaded. Please load a model", "model_not_found"), ModelNotFound),
    ("openai", 400, error("Unsupported value: 'temperature'", "unsupported_value", param="temperature"), BadRequest),
    ("mistral", 422, {"detail": [{"type": "missing", "loc": ["body", "model"], "msg": "Field required"}]}, BadRequest),
    ("openai", 415, b"", BadRequest),
    ("openai", 408, b"", TimedOut),
    ("openai", 504, b"<html></html>", TimedOut),
    ("openai", 500, error("The server had an error", "server_error", "server_error"), Overloaded),
    ("openai", 502, b"<html><body>nginx</body></html>", Overloaded),
    ("openai", 409, error("Conflict"), Overloaded),
    ("vllm", 500, error("boom", 500, "InternalServerError"), Overloaded),
    ("openrouter", 400, error("Provider returned error", 400, None, metadata={"raw": '{"error":{"message":"maximum context length is 9"}}'}), ContextTooLong),
    ("openrouter", 502, error("bad", 502, None, metadata={"error_type": "rate_limit_exceeded"}), RateLimited),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "status", "body", "expected"), CASES, ids=[f"{row[0]}-{row[1]}-{n}" for n, row in enumerate(CASES)]
)
def test_classes(kind: str, status: int, body: Any, expected: type[ProviderError]) -> None:
    made = said(status, body, kind)
    assert type(made) is expected
    assert made.upstream_status == status
    assert made.provider == "house"


def test_the_words_and_the_field_are_kept() -> None:
    made = said(400, error("Unsupported value.", "unsupported_value", param="temperature"))
    assert (made.message, made.param) == ("house: Unsupported value.", "temperature")
    assert said(422, {"detail": [{"loc": ["body", "a", 0], "msg": "wrong"}]}).message == "house: a.0: wrong"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b"null", b'{"error": null}', b'{"error": {}}', b"\xff\xfe"])
def test_bodies_that_say_nothing(body: bytes) -> None:
    made = said(500, body)
    assert type(made) is Overloaded
    assert made.message


def test_pages_are_never_shown() -> None:
    made = said(503, b"<!DOCTYPE html><html><script>alert(1)</script>internal-proxy-3</html>", content_type="text/html")
    assert made.message == "house answered 503 with a web page instead of JSON."
    assert type(made) is Overloaded


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "5"}, 5),
        ({"retry-after": "0"}, 1),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "31536000"}, 3600),
        ({"retry-after-ms": "2500", "retry-after": "9"}, 2.5),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({}, None),
    ],
)
def test_when_to_come_back(headers: dict[str, str], seconds: float | None) -> None:
    assert wait_of(headers) == seconds


def test_a_date_to_come_back_at() -> None:
    now = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
    later = format_datetime(now + timedelta(seconds=90), usegmt=True)
    assert wait_of({"retry-after": later}, now=now.timestamp()) == 90
    assert wait_of({"retry-after": format_datetime(now - timedelta(days=1), usegmt=True)}, now=now.timestamp()) == 1


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("Please try again in 5.2s.", 5.2),
        ("try again in 1m23.5s", 83.5),
        ("Please retry after 34 seconds.", 34),
        ("try again in 120ms", 1),
    ],
)
def test_words_that_say_when(words: str, seconds: float) -> None:
    assert said(429, error(words, "rate_limit_exceeded")).retry_after == seconds


# -- secrets ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        f"Incorrect API key provided: {SECRET}.",
        f"Incorrect API key: {SECRET[:10]}***",
        f"key ending in {SECRET[-8:]}",
        "sk-proj-abcdefgh1234 is wrong",
        "Bearer abcdefghijk",
        "url?key=abcdefghijkl&x=1",
        "organisation org-Ab12Cd34Ef56 has no credit",
    ],
)
def test_no_part_of_a_key_is_shown(words: str) -> None:
    shown = said(401, error(words)).message
    assert "***" in shown
    for piece in (SECRET[:8], SECRET[-8:], "abcdefgh", "Ab12Cd34"):
        assert piece not in shown


@given(st.text(max_size=60), st.integers(0, 19), st.integers(7, 26), st.text(max_size=60))
def test_no_seven_characters_of_the_secret_in_a_row(before: str, start: int, length: int, after: str) -> None:
    shown = cleaned(before + SECRET[start : start + length] + after, SECRET)
    assert not any(SECRET[at : at + 7] in shown for at in range(len(SECRET) - 6))


@given(st.text())
def test_words_are_one_short_line_without_markup(text: str) -> None:
    shown = cleaned(text, SECRET)
    assert len(shown) <= 500
    assert shown.isprintable()


def test_markup_and_control_signs_are_taken_out() -> None:
    assert cleaned("a <b onclick='x'>bold</b>\n\x1b[31mred\u202e") == "a bold [31mred"

"""What a provider's "no" means: bodies of every shape to one of our errors, by code, then words, then status.

The provider's words are kept where they help, as one short line without keys, account ids or markup.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from itertools import chain
from typing import Any

import msgspec

from providers.auth import hidden_parts
from providers.errors import (
    BadCredentials,
    BadRequest,
    ContextTooLong,
    Interrupted,
    InvalidAnswer,
    ModelNotFound,
    Overloaded,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    Refused,
    TimedOut,
)
from providers.registry import Cause
from providers.wiring import Target

LONGEST_WORDS = 500
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # what bytes that are no JSON raise
SHORTEST_WAIT, LONGEST_WAIT = 1.0, 3600.0
_LONGEST_BODY = 256 * 1024  # of an error that is read at all


@dataclass(frozen=True, slots=True)
class Words:
    """What an error body says, whatever its shape."""

    message: str = ""
    codes: tuple[str, ...] = ()  # code, type, reason: the first known one counts
    param: str | None = None
    status: int | None = None  # some say it in the body only
    wait: str = ""  # until it may be asked again: "12s"
    window: str = ""  # whose allowance is used up, where several are told apart: "day" or "minute"


# -- one error from an answer ---------------------------------------------------


def refusal(status: int, headers: Mapping[str, str], body: bytes, target: Target) -> ProviderError:
    """The error that an answer with this status and body is."""
    page = _is_page(headers, body)
    words = Words() if page else read_words(body)
    told = headers.get("x-amzn-errortype")
    if told:
        # `ThrottlingException`, and an address may follow, or a name space stand before.
        words = replace(words, codes=(told.partition(":")[0].rpartition("#")[2], *words.codes))
    cause = cause_of(status, words, target)
    error = _made(cause, status, words, target)
    if isinstance(error, RateLimited | Overloaded | QuotaExhausted):
        error.retry_after = wait_of(headers, words.message if cause is Cause.RATE else "", told=words.wait)
    if page:
        error.message = f"{target.provider} answered {status} with a web page instead of JSON."
    elif not words.message:
        error.message = f"{target.provider} answered {status} without saying why."
    return error


def reported(error: Any, target: Target) -> ProviderError:
    """The error that was reported inside a successful answer: a chunk's, an event's or a body's `error`."""
    words = words_of({"error": error} if not _is_body(error) else error)
    status = words.status or 500
    made = _made(cause_of(status, words, target), status, words, target)
    made.upstream_status = 200
    if isinstance(made, RateLimited | Overloaded | QuotaExhausted):
        made.retry_after = wait_of({}, told=words.wait)
    if not words.message:
        made.message = f"{target.provider} reported an error without saying which."
    return made


def _is_body(error: Any) -> bool:
    return isinstance(error, dict) and "error" in error


_CLASSES: Mapping[Cause, Callable[..., ProviderError]] = {
    Cause.KEY: BadCredentials,
    Cause.QUOTA: QuotaExhausted,
    Cause.RATE: RateLimited,
    Cause.OVERLOAD: Overloaded,
    Cause.SERVER: Overloaded,
    Cause.TIMEOUT: TimedOut,
    Cause.MODEL: ModelNotFound,
    Cause.CONTEXT: ContextTooLong,
    Cause.FILTER: Refused,
    Cause.REQUEST: BadRequest,
}


def _made(cause: Cause, status: int, words: Words, target: Target) -> ProviderError:
    made = _CLASSES[cause](
        f"{target.provider}: {cleaned(words.message, target.secret)}",
        code="upstream_error" if cause is Cause.SERVER else "request_too_large" if status == 413 else None,
        provider=target.provider,
        upstream_status=status,
        param=words.param,
    )
    if cause is Cause.SERVER:
        made.status = ProviderError.status  # broken, and not just busy
    return made


def unreadable(target: Target, what: str) -> InvalidAnswer:
    """It sent something else than an answer."""
    return InvalidAnswer(f"{target.provider} {what}", provider=target.provider)


def broken(target: Target, what: str) -> InvalidAnswer:
    """Something in the middle of its answer breaks the rules of its wire."""
    return InvalidAnswer(f"{target.provider} {what}", code="upstream_protocol_error", provider=target.provider)


def interrupted(target: Target) -> Interrupted:
    return Interrupted(f"The answer of {target.provider} stopped before its end.", provider=target.provider)


# -- classifying ----------------------------------------------------------------

_CODES: Mapping[str, Cause] = {
    code: cause
    for cause, codes in {
        Cause.QUOTA: "insufficient_quota credit_balance_exhausted organization_spend_limit_exceeded billing_error "
        "project_spend_limit_exceeded organization_usage_limit_exceeded payment_required billing_hard_limit_reached "
        "exceeded_current_quota_error",
        Cause.CONTEXT: "context_length_exceeded exceed_context_size_error model_max_prompt_tokens_exceeded "
        "max_tokens_exceeded token_limit_exceeded",
        Cause.FILTER: "content_filter content_policy_violation moderation_blocked ResponsibleAIPolicyViolation refusal "
        "invalid_prompt bio_policy misalignment_policy_violation image_content_policy_violation",
        Cause.MODEL: "model_not_found DeploymentNotFound model_not_supported invalid_model NotFoundError not_found "
        "resource_not_found_error not_found_error",
        Cause.KEY: "invalid_api_key authentication_error invalid_authentication_error incorrect_api_key_error "
        "permission_denied_error permission_denied permission_error authentication Unauthorized",
        Cause.OVERLOAD: "server_is_overloaded overloaded_error slow_down provider_overloaded provider_unavailable "
        "service_unavailable engine_overloaded_error",
        Cause.RATE: "rate_limit_exceeded rate_limit_error rate_limit_reached_error",
        Cause.TIMEOUT: "timeout Timeout timeout_error vector_store_timeout",
        Cause.SERVER: "server_error InternalServerError api_error internal_error server internal_server_error",
    }.items()
    for code in codes.split()
}

# Some servers answer every status with these and a cause in the words.
_QUOTA_WORDS = re.compile(
    r"credit balance is too low|insufficient (?:balance|quota|funds|credits?)|out of credits?|any credits"
    r"|(?:monthly|included) (?:included )?credits|spend(?:ing)? limit|billing (?:hard )?limit|quota.{0,40}exceeded"
    r"|exceeded your current quota|payment required|can only afford|spend(?:ing)? cap|enable billing",
    re.IGNORECASE,
)
_CONTEXT_WORDS = re.compile(
    r"maximum context length|exceeds the context window|input tokens exceed the configured limit|prompt is too long"
    r"|exceed context limit|input is too long|input token count .{0,80}exceeds the maximum|maximum prompt length is"
    r"|reduce the length of the messages|too large for model with|exceeded model token limit"
    r"|range of input length should be|exceeds the available context size|longer than the maximum model length"
    r"|longer than the context length|input length exceeds the context length|exceeded max context length"
    r"|loaded with context length of only|too many (?:input )?tokens",
    re.IGNORECASE,
)
_FILTER_WORDS = re.compile(
    r"content (?:management policy|filter|policy|guidelines?)|was flagged|moderation flagged|response was filtered",
    re.IGNORECASE,
)
_KEY_WORDS = re.compile(
    r"(?:incorrect|invalid|malformed|missing|expired) .{0,30}(?:api[ _-]?key|api token|token|credentials)"
    r"|api[ _-]?key .{0,30}(?:invalid|expired|not valid)|authentication fails|unauthorized"
    r"|user location is not supported",
    re.IGNORECASE,
)
_MODEL_WORDS = re.compile(
    r"model .{0,120}(?:does not exist|not found|not supported)|is not a valid model|no models loaded"
    r"|model not found|unknown model|try pulling it|model identifier is invalid"
    r"|model id .{0,120}with on-demand throughput isn.t supported",
    re.IGNORECASE,
)
_NO_ACCESS_WORDS = re.compile(r"access to the model", re.IGNORECASE)
_OVERLOAD_WORDS = re.compile(r"overloaded|server busy|capacity exceeded|loading model|temporarily unavailable", re.I)

_WORDS: tuple[tuple[re.Pattern[str], Cause, frozenset[int]], ...] = (
    # With which statuses the words are believed: a message may quote the prompt.
    (_QUOTA_WORDS, Cause.QUOTA, frozenset({400, 401, 402, 403, 429})),
    (_CONTEXT_WORDS, Cause.CONTEXT, frozenset({400, 404, 413, 422, 500})),
    (_KEY_WORDS, Cause.KEY, frozenset({400})),
    (_FILTER_WORDS, Cause.FILTER, frozenset({400, 403})),
    (_MODEL_WORDS, Cause.MODEL, frozenset({400, 422})),
    (_NO_ACCESS_WORDS, Cause.MODEL, frozenset({403})),
    (_OVERLOAD_WORDS, Cause.OVERLOAD, frozenset({429, 500, 502, 503})),
)

_STATUSES: Mapping[int, Cause] = {
    401: Cause.KEY,
    402: Cause.QUOTA,
    403: Cause.KEY,
    404: Cause.MODEL,
    408: Cause.TIMEOUT,
    409: Cause.SERVER,
    410: Cause.MODEL,
    412: Cause.MODEL,
    424: Cause.SERVER,
    429: Cause.RATE,
    498: Cause.OVERLOAD,
    499: Cause.SERVER,
    502: Cause.SERVER,
    503: Cause.OVERLOAD,
    504: Cause.TIMEOUT,
    529: Cause.OVERLOAD,
}


def cause_of(status: int, words: Words, target: Target) -> Cause:
    if status == 413:
        # More tokens than the account may use in a minute is no different: waiting does not help.
        return Cause.CONTEXT if _CONTEXT_WORDS.search(words.message) else Cause.REQUEST
    if words.window:
        return Cause.QUOTA if words.window == "day" else Cause.RATE
    own = target.kind.codes
    for code in (*words.codes, str(status)):
        if code in own:
            return _with_money(own[code], words)
    for code in words.codes:
        known = _CODES.get(code)
        if known is not None and _fits(known, status):
            return _with_money(known, words)
    for pattern, cause, statuses in _WORDS:
        if status in statuses and pattern.search(words.message):
            return cause
    return _STATUSES.get(status) or (Cause.SERVER if status >= 500 else Cause.REQUEST)


def _with_money(cause: Cause, words: Words) -> Cause:
    """A rate limit that is an empty purse in disguise."""
    return Cause.QUOTA if cause is Cause.RATE and _QUOTA_WORDS.search(words.message) else cause


def _fits(cause: Cause, status: int) -> bool:
    """A general code says less than a telling status: a 503 of type `api_error` is still an overload."""
    return cause is not Cause.SERVER or status in (400, 500, 502)


# -- reading --------------------------------------------------------------------


def read_words(body: bytes) -> Words:
    if not body or len(body) > _LONGEST_BODY:
        return Words()
    try:
        return words_of(msgspec.json.decode(body))
    except UNREADABLE:
        text = body.decode(errors="replace")
        return Words() if text.lstrip()[:1] in "{[<" else Words(text)


def words_of(value: Any) -> Words:
    """Every shape that is known: `{"error": {...}}`, a text, flat, FastAPI's `detail`, lists of any of them."""
    match value:
        case {"error": dict(inner)}:
            return _from_object(inner)
        case {"error": str(text), **rest}:
            return Words(text, _texts([rest.get("code"), rest.get("type")]), status=_status(rest.get("code")))
        case {"error": [first, *_]}:
            return words_of({"error": first})
        case {"message": dict(inner), **rest}:
            return Words(words_of(inner).message, _texts([rest.get("code"), rest.get("type")]))
        case {"message": str()}:
            return _from_object(value)
        case {"detail": str(text)}:
            return Words(text)
        case {"detail": [*faults]}:
            return Words("; ".join(_fault(fault) for fault in faults[:5]))
        case [dict(first), *_]:
            return words_of(first)
        case str(text):
            return Words(text)
    return Words()


def _from_object(inner: Mapping[str, Any]) -> Words:
    meta = inner.get("metadata")
    meta = meta if isinstance(meta, dict) else {}
    deeper = inner.get("innererror") or inner.get("inner_error")
    deeper = deeper if isinstance(deeper, dict) else {}
    message = inner.get("message")
    message = message if isinstance(message, str) else ""
    raw = meta.get("raw")
    if isinstance(raw, str) and raw:
        message = f"{message}: {read_words(raw.encode()).message or raw}"
    param = inner.get("param")
    details = inner.get("details")
    detail = details.get("error_code") if isinstance(details, dict) else None
    codes = _texts([meta.get("error_type"), detail, inner.get("code"), inner.get("type"), deeper.get("code")])
    words = Words(message, codes, param if isinstance(param, str) else None, _status(inner.get("code")))
    return _with_details(words, inner) if isinstance(details, list) else words


_WINDOWS = (("PerDay", "day"), ("PerMinute", "minute"), ("PerSecond", "minute"))


def _with_details(words: Words, inner: Mapping[str, Any]) -> Words:
    """Google's list of them: the reason, when to come back, and which allowance is used up where it names one."""
    details = [detail for detail in inner["details"] if isinstance(detail, dict)]
    codes = [*(detail.get("reason") for detail in details), *words.codes, inner.get("status")]
    wait = next((detail["retryDelay"] for detail in details if isinstance(detail.get("retryDelay"), str)), "")
    lists = [detail["violations"] for detail in details if isinstance(detail.get("violations"), list)]
    used_up = " ".join(str(one.get("quotaId")) for one in chain(*lists) if isinstance(one, dict))
    window = next((window for sign, window in _WINDOWS if sign in used_up), "")
    return replace(words, codes=_texts(codes), wait=wait, window=window)


def _texts(values: Iterable[Any]) -> tuple[str, ...]:
    return tuple(str(value) for value in values if isinstance(value, str | int) and value not in ("", None))


def _status(code: Any) -> int | None:
    number = int(code) if isinstance(code, str) and code.isdecimal() and len(code) == 3 else code
    return number if isinstance(number, int) and 400 <= number <= 599 else None


def _fault(fault: Any) -> str:
    if not isinstance(fault, dict):
        return str(fault)[:200]
    place = ".".join(str(step) for step in fault.get("loc") or () if step != "body")
    return f"{place}: {fault.get('msg', '')}".strip(": ")


def _is_page(headers: Mapping[str, str], body: bytes) -> bool:
    return "html" in headers.get("content-type", "") or body[:200].lstrip()[:1] == b"<"


# -- when to come back ------------------------------------------------------------

_AGAIN = re.compile(r"(?:try again|retry|retry after|wait) (?:in|after)? ?(?:(\d+)m)?(\d+(?:\.\d+)?) ?(ms|s)", re.I)


def wait_of(headers: Mapping[str, str], words: str = "", now: float | None = None, told: str = "") -> float | None:
    """Seconds until it may be asked again, between one and an hour; None when it does not say. `told`: "12s"."""
    seconds = _number(headers.get("retry-after-ms"), 0.001)
    if seconds is None:
        seconds = _seconds(headers.get("retry-after", ""), time.time() if now is None else now)
    if seconds is None:
        seconds = _number(told.removesuffix("s"))
    if seconds is None and (found := _AGAIN.search(words)):
        minutes, number, unit = found.groups()
        seconds = int(minutes or 0) * 60 + float(number) * (0.001 if unit.lower() == "ms" else 1)
    return None if seconds is None else min(max(seconds, SHORTEST_WAIT), LONGEST_WAIT)


def _number(text: str | None, unit: float = 1.0) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number * unit if 0 <= number < float("inf") else None


def _seconds(text: str, now: float) -> float | None:
    seconds = _number(text)
    if seconds is None and text:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return seconds


# -- cleaning -------------------------------------------------------------------

_TELLING = re.compile(
    r"\b(?:sk|xai|gsk|hf|rh|pk|key)[-_][\w*.-]{4,}"  # keys of the usual forms, masked ones too
    r"|\bBearer\s+\S+|\bkey=[^\s&]+"
    r"|\bAIza[\w*.-]{4,}"
    r"|\b(?:org|ak|proj|user|acct)[-_][A-Za-z0-9]{6,}|\bprojects?[/ ]\d{6,}",  # accounts
    re.IGNORECASE,
)
_MARKUP = re.compile(r"<[^<>]{0,2000}>")
_WINDOW = 7  # so many characters of the secret in a row are too many


def cleaned(text: str, secret: str = "") -> str:
    """One short line of a provider's words: no part of the secret, nobody's account, no markup, no control signs."""
    text = _without(text[: 4 * LONGEST_WORDS], hidden_parts(secret))
    text = _MARKUP.sub(" ", _TELLING.sub("***", text))
    text = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return text if len(text) <= LONGEST_WORDS else text[: LONGEST_WORDS - 1] + "…"


def _without(text: str, secrets: Iterable[str]) -> str:
    pieces: set[str] = set()
    for secret in secrets:
        if len(secret) >= _WINDOW:
            pieces |= {secret[at : at + _WINDOW] for at in range(len(secret) - _WINDOW + 1)}
        elif secret:
            text = text.replace(secret, "***")
    hidden = [False] * len(text)
    for at in range(len(text) - _WINDOW + 1):
        if text[at : at + _WINDOW] in pieces:
            hidden[at : at + _WINDOW] = [True] * _WINDOW
    if not any(hidden):
        return text
    shown: list[str] = []
    for sign, hide in zip(text, hidden, strict=True):
        if not hide:
            shown.append(sign)
        elif not shown or shown[-1] != "***":
            shown.append("***")
    return "".join(shown)

"""What does a connected provider really answer? Five questions, written down to the byte, with nobody's secrets in it.

For the first trial with a real key: what is written here becomes the recordings that tests play back. The calls are
real and cost what they cost; they are not in the ledger, which knows requests of the gateway alone.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from providers import connector, signin
from providers.adapters import adapter_for
from providers.auth import hidden_parts
from providers.chat import ChatRequest
from providers.connector import Connector
from providers.errors import ProviderError
from providers.listing import target_of
from providers.models import Provider
from providers.wiring import HttpAnswer, HttpRequest, Limits, Opening, Target

SECONDS = 120.0
ALL_SECONDS = 900.0
UNKNOWN_WINDOW = 1_200_000  # tokens: longer than any window that is known
BAD_KEY = "test-key-that-is-not-good"
NO_MODEL = "relayhouse-no-such-model"

_TOOL = {
    "type": "function",
    "function": {
        "name": "lookup",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@dataclass(frozen=True, slots=True)
class Question:
    name: str
    fields: Mapping[str, Any]
    stream: bool = False
    bad_key: bool = False
    bad_model: bool = False


@dataclass(frozen=True, slots=True)
class Recorded:
    name: str
    status: int | None  # None: there was no answer
    words: str = ""  # why there was none
    files: tuple[Path, ...] = ()


def questions(window: int | None) -> list[Question]:
    """`window` is the context of the model: what is too long for it is a fifth longer, a word being a token."""

    def asks(text: str, **more: Any) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": text}], "max_tokens": 200} | more

    short = asks("Say hello in three words.")
    return [
        Question("plain", short),
        Question("tool-stream", asks("What is the weather in Riga? Use the tool.", tools=[_TOOL]), stream=True),
        Question("bad-key", short, bad_key=True),
        Question("unknown-model", short, bad_model=True),
        Question("too-long", asks("word " * (int((window or 0) * 1.2) or UNKNOWN_WINDOW), max_tokens=1)),
    ]


def record(provider: Provider, model: str, folder: Path, *, window: int | None = None) -> list[Recorded]:
    """Raises what forbids asking at all: no key that can be read, an address that may not be dialled."""
    folder.mkdir(parents=True, exist_ok=True)
    target = target_of(provider, model)
    return connector.call(lambda connector: _all(connector, target, folder, questions(window)), seconds=ALL_SECONDS)


async def _all(connector: Connector, target: Target, folder: Path, asked: Iterable[Question]) -> list[Recorded]:
    told = []
    for question in asked:
        if question.bad_key and not target.secret:
            told.append(Recorded(question.name, None, "it has no key"))
            continue
        told.append(await _one(connector, target, folder, question))
    return told


async def _one(connector: Connector, target: Target, folder: Path, question: Question) -> Recorded:
    if question.bad_key:
        to = msgspec.structs.replace(target, secret=BAD_KEY)
    else:
        to = msgspec.structs.replace(target, model=NO_MODEL) if question.bad_model else target
    try:
        to = await signin.ready(to, connector)
        request, answer = await _asked(connector, to, question)
    except ProviderError as error:
        return Recorded(question.name, None, error.message)
    scrub = Scrubber([target.secret, to.secret], target)
    files = []
    for what, data in (("request", _request_bytes(request, scrub)), ("answer", _answer_bytes(answer, scrub))):
        file = folder / f"{target.kind.slug}-{question.name}-{what}.txt"
        file.write_bytes(data)
        files.append(file)
    return Recorded(question.name, answer.status, files=tuple(files))


async def _asked(connector: Connector, to: Target, question: Question) -> tuple[HttpRequest, HttpAnswer]:
    adapter = adapter_for(to.kind)
    if isinstance(adapter, Opening):
        opening = adapter.opening_request(to)
        answer = await connector.send(opening, _limits())
        if answer.status >= 400:
            return opening, answer
        to = adapter.opened(answer, to)
    fields = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in question.fields.items()}
    request, _ = adapter.chat_request(ChatRequest(fields, question.stream), to)
    if not question.stream:
        return request, await connector.send(request, _limits())
    async with connector.stream(request, _limits()) as stream:
        pieces = [data async for data in stream.chunks()]
    return request, HttpAnswer(stream.status, stream.headers, b"".join(pieces))


def _limits() -> Limits:
    now = asyncio.get_running_loop().time()
    return Limits(deadline=now + SECONDS, first_byte=SECONDS, idle=SECONDS)


# -- without anybody's secrets --------------------------------------------------------

_TOLD = frozenset(  # headers whose values say nothing about an account
    """
    accept content-type date retry-after retry-after-ms x-should-retry transfer-encoding cache-control
    x-amzn-errortype anthropic-version openai-version openai-processing-ms x-inference-provider
    """.split()
)
_LIMITS = re.compile(r"(?:x-|anthropic-)?ratelimit-", re.IGNORECASE)
_HARMLESS = frozenset({"region", "api_version", "style", "time_zone", "title", "web"})  # options
_SHORTEST = 6  # so many characters of a secret in a row are a part of it

_TELLING = re.compile(
    rb"[\w.-]*\*{3,}[\w.-]*"  # keys that were masked by somebody who leaves their ends
    rb"|\b(?:sk|xai|gsk|hf|rh|pk|pplx|key)[-_][\w.-]{8,}|\bAIza[\w-]{8,}|\bAKIA[A-Z0-9]{12,}"
    rb"|\bBearer +[\w.~+/=-]{8,}|\beyJ[\w-]{5,}\.[\w.-]+"
    rb"|\b(?:org|ak|proj|project|user|acct|team|ws)[-_][A-Za-z0-9]{6,}"
    rb"|(?<=:)\d{12}(?=:)"  # an account in the name of something at AWS
    rb"|[\w.+-]+@[\w-]+\.[\w.-]+"
)
_NAMED = re.compile(
    rb'("(?:user|user_id|organi[sz]ation|organi[sz]ation_id|org_id|account|account_id|team|team_id|project|project_id'
    rb'|tenant_id|tenant|email|subscription_id)"\s*:\s*")((?:[^"\\]|\\.)*)(?=")'
)


class Scrubber:
    """Puts stars for what nobody else may read: as many as there were letters, so that lengths still fit."""

    def __init__(self, secrets: Iterable[str], target: Target) -> None:
        self._hidden = {part for secret in secrets if secret for part in hidden_parts(secret)}
        self._names = {
            value
            for option, value in target.options.items()
            if isinstance(value, str) and option not in _HARMLESS and len(value) > 3
        }
        host = re.sub(r"^https?://([^/:]+).*", r"\1", target.base_url)
        own = target.base_url not in ("", target.kind.base_url) and not re.fullmatch(r"localhost|[\d.]+", host)
        if own:
            self._names.add(host.partition(".")[0])

    def __call__(self, data: bytes) -> bytes:
        for part in self._hidden:
            data = _without(data, part.encode())
        for name in self._names:
            data = data.replace(name.encode(), b"*" * len(name.encode()))
        data = _NAMED.sub(lambda found: found[1] + b"*" * len(found[2]), data)
        return _TELLING.sub(lambda found: b"*" * len(found[0]), data)

    def headers(self, headers: Mapping[str, str]) -> bytes:
        lines = []
        for name, value in headers.items():
            known = name.lower() in _TOLD or _LIMITS.match(name)
            lines.append(b"%s: %s\n" % (name.lower().encode(), self(value.encode()) if known else b"<left out>"))
        return b"".join(lines)


def _without(data: bytes, secret: bytes) -> bytes:
    """Neither the secret nor any part of it, the longest parts first."""
    if len(secret) <= _SHORTEST:
        return data.replace(secret, b"*" * len(secret)) if secret else data
    for size in range(len(secret), _SHORTEST - 1, -1):
        if secret[:_SHORTEST] not in data and not any(
            secret[at : at + _SHORTEST] in data for at in range(len(secret) - _SHORTEST + 1)
        ):
            break
        for at in range(len(secret) - size + 1):
            data = data.replace(secret[at : at + size], b"*" * size)
    return data


def _request_bytes(request: HttpRequest, scrub: Scrubber) -> bytes:
    first = f"{request.method} {request.url}\n".encode()
    return scrub(first) + scrub.headers(request.headers) + b"\n" + scrub(request.body)


def _answer_bytes(answer: HttpAnswer, scrub: Scrubber) -> bytes:
    return b"%d\n" % answer.status + scrub.headers(answer.headers) + b"\n" + scrub(answer.body)

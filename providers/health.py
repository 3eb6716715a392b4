"""Is each provider there, and does it take our keys? One cheap question to each, all at once, none waiting for another.

What is known without asking (no key, no address) is not asked. A check writes a row and notes what was said of a key;
decisions read neither, so the configuration's revision stays as it is.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from providers import connector, listing, signin
from providers.adapters import adapter_for, speaks
from providers.adapters.asking import url_of
from providers.connector import Connector
from providers.errors import BadCredentials, InvalidAnswer, Overloaded, ProviderError, QuotaExhausted, TimedOut
from providers.models import Credential, HealthCheck, Provider
from providers.registry import KINDS
from providers.vault import SealBroken
from providers.wiring import Adapter, HttpAnswer, HttpRequest, Limits, Target

log = logging.getLogger(__name__)

EVERY = timedelta(seconds=30)
JUST_NOW = timedelta(seconds=15)  # what was checked since then is not checked again: two clocks may tick
KEPT = timedelta(days=7)
CHECK_SECONDS = 8.0  # for one provider, with whatever comes before its question
AT_ONCE = 32
MOST_KEYS = 4  # of one provider, asked until one is accepted
_ANSWER_BYTES = 16 * 1024 * 1024

ADDRESS_ONLY = "address only"  # the code of a good check that could not try the key


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of one provider: with each of these keys until one is accepted."""

    provider_id: int
    targets: tuple[Target, ...]


@dataclass(slots=True)
class Answer:
    provider_id: int
    ok: bool = False
    code: str = ""
    message: str = ""
    duration_ms: int | None = None
    keys: dict[int, str] = field(default_factory=dict)  # what was said of each key; empty when it was accepted


def check(now: datetime, *, only: Iterable[int] | None = None) -> list[HealthCheck]:
    """Ask those that are on, or only these, whoever asked them last. The rows that were written."""
    rows = Provider.objects.filter(enabled=True)
    if only is None:
        rows = rows.exclude(pk__in=HealthCheck.objects.filter(at__gt=now - JUST_NOW).values("provider_id"))
    else:
        rows = rows.filter(pk__in=list(only))
    asked = questions(rows.prefetch_related("credentials"), now)
    if not asked:
        return []
    seconds = CHECK_SECONDS * math.ceil(len(asked) / AT_ONCE) + CHECK_SECONDS
    answers = connector.call(lambda port: _ask_all(asked, port), seconds=seconds)
    return _keep(answers, asked)


def served(now: datetime) -> QuerySet[HealthCheck]:
    """Checks that have served their time; by provider, as the index has them."""
    ids = list(Provider.objects.values_list("pk", flat=True))
    return HealthCheck.objects.filter(provider_id__in=ids, at__lt=now - KEPT).order_by()


def questions(providers: Iterable[Provider], now: datetime) -> list[Question]:
    """Those that there is something to ask. Which key is tried first changes with every check."""
    found = []
    for provider in providers:
        keys = usable_keys(provider, now)
        if not unasked_because(provider, now):
            turn = int(now.timestamp() // EVERY.total_seconds())
            first = turn % len(keys) if keys else 0
            ordered = [*keys[first:], *keys[:first]][:MOST_KEYS]
            targets = [_target(provider, key) for key in ordered] or [_target(provider, None)]
            found.append(Question(provider.pk, tuple(targets)))
    return found


def usable_keys(provider: Provider, now: datetime) -> list[Credential]:
    """Those that requests may use now and that can be opened; of rows that were read with the provider."""
    keys = sorted(provider.credentials.all(), key=lambda key: key.pk)
    return [key for key in keys if key.enabled and not _ended(key, now) and _opens(key)]


def unasked_because(provider: Provider, now: datetime) -> str:
    """Why there is no point in asking it, in English as the rows keep such reasons; empty when it can be asked."""
    kind = KINDS.get(provider.kind)
    if kind is None:
        return listing.UNKNOWN_KIND
    if kind.retired:
        return kind.retired
    if not speaks(kind):
        return listing.NOT_SPOKEN
    if not (provider.base_url or kind.base_url):
        return listing.NO_ADDRESS
    if kind.key_required and not usable_keys(provider, now):
        return _keyless(provider, now)
    return ""


def _keyless(provider: Provider, now: datetime) -> str:
    keys = [key for key in provider.credentials.all() if key.enabled]
    lasting = [key for key in keys if not _ended(key, now)]
    unset = [key.variable for key in lasting if key.variable]
    if unset:
        return f"The environment variable {unset[0]} is not set."
    if lasting:
        return listing.KEY_UNREADABLE
    return "its API key has ended" if keys else listing.KEY_MISSING


def _ended(key: Credential, now: datetime) -> bool:
    return key.valid_until is not None and key.valid_until <= now


def _opens(key: Credential) -> bool:
    if key.variable:
        return bool(os.environ.get(key.variable, "").strip())
    try:
        return bool(key.reveal())
    except SealBroken:
        return False


def _target(provider: Provider, key: Credential | None) -> Target:
    kind = KINDS[provider.kind]
    return Target(
        provider_id=provider.pk,
        provider=provider.slug,
        kind=kind,
        base_url=provider.base_url or kind.base_url,
        model="",
        credential_id=key.pk if key else None,
        secret=key.reveal() if key else "",
        options=provider.options,
        timeout_seconds=provider.timeout_seconds,
    )


# -- asking ---------------------------------------------------------------------------------


async def _ask_all(asked: Sequence[Question], port: Connector) -> list[Answer]:
    room = asyncio.Semaphore(AT_ONCE)

    async def one(question: Question) -> Answer:
        async with room:
            return await _ask(question, port)

    return await asyncio.gather(*(one(question) for question in asked))


async def _ask(question: Question, port: Connector) -> Answer:
    """With each key until one is accepted, all within the time of one check."""
    answer = Answer(question.provider_id)
    began = asyncio.get_running_loop().time()
    seconds = min(CHECK_SECONDS, question.targets[0].timeout_seconds)
    try:
        async with asyncio.timeout_at(began + seconds):
            for target in question.targets:
                if await _accepted(target, port, answer):
                    break
    except TimeoutError:
        _failed(answer, TimedOut(f"No answer came within {seconds:g} s."))
    answer.duration_ms = int((asyncio.get_running_loop().time() - began) * 1000)
    return answer


async def _accepted(target: Target, port: Connector, answer: Answer) -> bool:
    """False when this key was refused and the next one is worth a try. Anything else is the answer."""
    try:
        answer.code = await _question(target, port)
    except BadCredentials as error:
        _failed(answer, error)
        if target.credential_id is not None:
            answer.keys[target.credential_id] = error.message
        return False
    except ProviderError as error:
        _failed(answer, error)
        return True
    except Exception as error:  # whatever is wrong with one provider must not end the checks of the others
        log.error("the check of %s broke", target.provider, exc_info=error)
        answer.ok, answer.code, answer.message = False, "internal_error", "The check itself failed. This was logged."
        return True
    answer.ok, answer.message = True, ""
    if target.credential_id is not None and answer.code != ADDRESS_ONLY:
        answer.keys[target.credential_id] = ""
    return True


def _failed(answer: Answer, error: ProviderError) -> None:
    answer.ok, answer.code, answer.message = False, error.reason, error.message


async def _question(target: Target, port: Connector) -> str:
    """Ask, and judge what came. The code of a good check is empty, or says what it could not try."""
    adapter = adapter_for(target.kind)
    ready = await signin.ready(target, port)
    request = adapter.health_request(ready) or adapter.models_request(ready)
    if request is None:
        await _reach(ready, port)
        return "" if signin.needed(target) else ADDRESS_ONLY  # where somebody signs in, that was the trial
    reply = await port.send(request, _limits())
    if reply.status >= 400:
        error = adapter.error(reply, ready)
        if isinstance(error, BadCredentials):
            signin.forget(target)
        raise error
    _judge(reply, request, adapter, ready)
    return ""


async def _reach(target: Target, port: Connector) -> None:
    """Without the key, which nothing there asks for. Whatever it says, it is there, unless it says that it broke."""
    address = url_of(target, "").partition("?")[0]
    request = HttpRequest("GET", address, {"accept": "application/json"}, kind=target.kind)
    async with port.stream(request, _limits()) as reply:
        if reply.status >= 500:
            raise Overloaded(f"{target.provider} answered {reply.status}.", upstream_status=reply.status)


def _judge(reply: HttpAnswer, request: HttpRequest, adapter: Adapter, target: Target) -> None:
    """A web page, or an error with a good status, is no sign of health."""
    listed = adapter.models_request(target)
    if listed is not None and listed.url == request.url:
        adapter.models_answer(reply, target)
        return
    try:
        told = msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidAnswer(f"{target.provider} sent something that is not JSON.") from None
    if not isinstance(told, dict):
        return
    if told.get("error"):
        raise adapter.error(HttpAnswer(500, reply.headers, reply.body), target)
    if told.get("is_available") is False:  # as a vendor says it whose free question is the balance
        raise QuotaExhausted(f"{target.provider} says that the account has no balance left.")


def _limits() -> Limits:
    now = asyncio.get_running_loop().time()
    return Limits(
        deadline=now + CHECK_SECONDS,
        connect=CHECK_SECONDS / 2,
        first_byte=CHECK_SECONDS,
        idle=CHECK_SECONDS,
        body_bytes=_ANSWER_BYTES,
    )


# -- keeping --------------------------------------------------------------------------------


def _keep(answers: Sequence[Answer], asked: Sequence[Question]) -> list[HealthCheck]:
    """Rows of those that are still there. A note on a key is written only where it changes."""
    now = timezone.now()
    with transaction.atomic():
        there = Provider.objects.select_for_update(no_key=True).filter(pk__in=[each.provider_id for each in answers])
        known = set(there.order_by("pk").values_list("pk", flat=True))
        rows = [
            HealthCheck(
                provider_id=each.provider_id,
                at=now,
                ok=each.ok,
                duration_ms=each.duration_ms,
                code=each.code[:60],
                message=each.message[:300],
            )
            for each in answers
            if each.provider_id in known
        ]
        HealthCheck.objects.bulk_create(rows)
        for number, problem in sorted({k: v for each in answers for k, v in each.keys.items()}.items()):
            _note(number, problem[:300])
    _tell(answers, {question.provider_id: question.targets[0].provider for question in asked})
    return rows


def _note(number: int, problem: str) -> None:
    Credential.objects.filter(pk=number).exclude(problem=problem).update(problem=problem)


def _tell(answers: Sequence[Answer], slugs: Mapping[int, str]) -> None:
    for each in answers:
        if not each.ok:
            log.info("the check of %s: %s", slugs[each.provider_id], each.message)

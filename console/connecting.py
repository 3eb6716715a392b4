"""Is this draft a provider that answers? Asked line by line; and keeping it when somebody says so.

A line is one question. Each is asked on its own, by whoever shows the lines, so nothing is remembered between them: the
draft comes with every question, and its secret goes to the provider only.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from billing.declared import catalogue_steps, price_declared
from billing.prices import Listed, at_moment, set_price
from console.drafts import Draft
from console.formats import duration
from console.remedies import Trouble, trouble_of
from providers import connector, signin
from providers.adapters import adapter_for, speaks
from providers.chat import ChatRequest, Ended, ReasoningDelta, TextDelta, ToolCallDelta
from providers.connector import Connector
from providers.errors import BadCredentials, InvalidAnswer, ModelNotFound, ProviderError
from providers.listing import refresh_models
from providers.models import Credential, LanguageModel, Provider, configuration_changed
from providers.registry import Place
from providers.wiring import HttpRequest, Limits, ListedModel
from routing.attempts import Attempt

REACH_SECONDS = 5.0
ASK_SECONDS = 10.0
STREAM_SECONDS = 30.0
MOST_TRIED = 3  # models asked for a first answer, when the first ones are listed but not served
LONGEST_ANSWER = 64  # tokens
LINES = ("reached", "key", "stream", "models")
BY_HAND = "set by hand"

_PREVIEW = re.compile(r"(?:^|[-_.:/])(?:preview|beta|alpha|exp|experimental|nightly)(?:$|[-_.:/\d])", re.IGNORECASE)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    ok: bool
    words: str
    end: str = ""  # how long it took, at the end of the line
    trouble: Trouble | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A model the provider has, as the form offers it."""

    id: str
    name: str = ""
    context: int | None = None
    embedding: bool = False
    preview: bool = False
    price: Listed | None = None

    @property
    def ticked(self) -> bool:
        return not self.embedding and not self.preview


# -- the lines ---------------------------------------------------------------------------


def check(draft: Draft, name: str) -> Line:
    """Ask one question. What goes wrong is in the line; nothing is raised."""
    ask = {"reached": _reached, "key": _key, "stream": _stream, "models": _models}[name]
    try:
        return ask(draft)
    except ProviderError as error:
        trouble = trouble_of(error, draft.kind, host_of(draft))
        return Line(name, False, trouble.cause, trouble=trouble)


def after(name: str) -> str:
    """The line that follows; empty after the last one."""
    place = LINES.index(name) + 1
    return LINES[place] if place < len(LINES) else ""


def waiting_words(name: str) -> str:
    return {
        "reached": _("Reaching the address"),
        "key": _("Trying the key"),
        "stream": _("Waiting for a streaming answer"),
        "models": _("Reading models and prices"),
    }[name]


def host_of(draft: Draft) -> str:
    address = draft.address
    for option, value in draft.options.items():
        address = address.replace(f"{{{option}}}", str(value))
    return urlsplit(address).netloc.rpartition("@")[2] or draft.kind.name


def _reached(draft: Draft) -> Line:
    """Without the key: it is not shown to an address that sends elsewhere."""
    request = _bare(draft)

    async def ask(port: Connector) -> None:
        async with port.stream(request, _limits(REACH_SECONDS)):
            pass

    ms = _timed(lambda: connector.call(ask))[1]
    return Line("reached", True, _("Reached %(host)s") % {"host": host_of(draft)}, duration(ms))


def _bare(draft: Draft) -> HttpRequest:
    """What the check will ask, without anything that tells who asks."""
    target = draft.target(seconds=REACH_SECONDS)
    if not draft.secret and draft.kind.key_required:
        raise BadCredentials("The key is missing.", provider=draft.slug, sent=False)
    adapter = adapter_for(draft.kind)
    request = adapter.health_request(signin.before(target)) or adapter.models_request(signin.before(target))
    url = request.url if request is not None else target.base_url
    return HttpRequest("GET", url, {"accept": "application/json"}, kind=draft.kind)


def _key(draft: Draft) -> Line:
    adapter, target = adapter_for(draft.kind), draft.target(seconds=ASK_SECONDS)

    async def ask(port: Connector) -> bool:
        ready = await signin.ready(target, port)
        request = adapter.health_request(ready)
        if request is None:
            return False  # only a chat would tell, and it is the next line
        answer = await port.send(request, _limits(ASK_SECONDS))
        if answer.status >= 400:
            raise adapter.error(answer, ready)
        if request.url == getattr(adapter.models_request(ready), "url", ""):
            adapter.models_answer(answer, ready)  # a web page with status 200 is no list
        return True

    told, ms = _timed(lambda: connector.call(ask))
    if not told:
        return Line("key", True, _("The key is tried with the first question"))
    if not draft.secret:
        return Line("key", True, _("No key is needed"), duration(ms))
    return Line("key", True, _("Key accepted"), duration(ms))


def _stream(draft: Draft) -> Line:
    """A tiny question to the first chat model found; the next one where a model is listed but not served."""
    names = [model.id for model in listed(draft) if not model.embedding]
    names.sort(key=lambda name: bool(_PREVIEW.search(name)))
    if not names:
        return Line("stream", True, _("No chat model to ask"))
    for place, name in enumerate(names[:MOST_TRIED], start=1):
        try:
            first_ms = first_token(draft, name)
        except ModelNotFound:
            if place == min(len(names), MOST_TRIED):
                raise
            continue
        words = _("Streaming answer from %(model)s") % {"model": name}
        return Line("stream", True, words, _("%(time)s to first token") % {"time": duration(first_ms)})
    raise AssertionError("a model was asked or an error raised")


def first_token(draft: Draft, model: str) -> int:
    """Milliseconds to the first piece of an answer, which is then read to its end."""
    request = question("Say hello.", model, stream=True)
    entry = draft.entry(model)

    async def ask(port: Connector) -> int:
        began = time.monotonic()
        attempt = Attempt(port, request, entry)
        first = None
        try:
            await attempt.open(_limits(STREAM_SECONDS))
            while events := await attempt.next_events():
                if first is None and any(
                    isinstance(event, TextDelta | ReasoningDelta | ToolCallDelta) for event in events
                ):
                    first = time.monotonic()
                if any(isinstance(event, Ended) for event in events):
                    break
        finally:
            await attempt.hang_up()
        if first is None:
            raise InvalidAnswer("The answer was empty.", provider=draft.slug)
        return int((first - began) * 1000)

    return connector.call(ask)


def question(text: str, model: str, *, stream: bool, longest: int = LONGEST_ANSWER, **more: Any) -> ChatRequest:
    fields = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": longest, "stream": stream}
    return ChatRequest(
        {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in (fields | more).items()}, stream=stream
    )


def _models(draft: Draft) -> Line:
    models = found(draft)
    priced = sum(model.price is not None for model in models)
    end = _("%(priced)d of %(all)d priced") % {"priced": priced, "all": len(models)}
    return Line("models", True, _("Models and prices read"), end)


# -- the models --------------------------------------------------------------------------


def listed(draft: Draft) -> Sequence[ListedModel]:
    """As the provider lists them; where it lists none, those that were named, or that are known of its kind."""
    adapter, target = adapter_for(draft.kind), draft.target(seconds=ASK_SECONDS)

    async def ask(port: Connector) -> Sequence[ListedModel] | None:
        ready = await signin.ready(target, port)
        request = adapter.models_request(ready)
        if request is None:
            return None
        answer = await port.send(request, _limits(ASK_SECONDS))
        if answer.status >= 400:
            raise adapter.error(answer, ready)
        return adapter.models_answer(answer, ready)

    models = connector.call(ask)
    if models is not None:
        return models
    names = [name for name in draft.options.get("models") or () if isinstance(name, str)]
    return [ListedModel(name) for name in names or draft.kind.models]


def _listed_again(draft: Draft) -> Sequence[ListedModel]:
    """Read a moment ago without fault; what goes wrong now leaves the form without choices, and connecting says why."""
    try:
        return listed(draft)
    except ProviderError:
        return ()


def found(draft: Draft) -> list[Found]:
    row = Provider(name=draft.name, kind=draft.kind.slug)
    return [
        Found(
            id=model.id,
            name=model.name,
            context=model.context,
            embedding=model.embedding,
            preview=bool(_PREVIEW.search(model.id)),
            price=expected_price(draft, LanguageModel(provider=row, model_id=model.id)),
        )
        for model in _listed_again(draft)
    ]


def expected_price(draft: Draft, model: LanguageModel) -> Listed | None:
    """What it will be booked at from the first call on; None when nobody knows."""
    if draft.kind.place is Place.LOCAL:
        return Listed("USD", Decimal(0), Decimal(0))
    return at_moment(catalogue_steps(model), timezone.now())


# -- keeping -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen of the models shown. Those that were not shown keep to the rule: no embeddings, no previews."""

    shown: frozenset[str] = frozenset()
    ticked: frozenset[str] = frozenset()
    prices: Mapping[str, Listed] = field(default_factory=dict)


def connect(draft: Draft, choice: Choice, *, enable: bool, by: int) -> tuple[Provider, str]:
    """Keep it, off at first; read its models; then on, if wanted. The problem in words, or empty."""
    with transaction.atomic():
        provider = Provider(
            name=draft.name,
            kind=draft.kind.slug,
            base_url=draft.base_url,
            enabled=False,
            priority=draft.priority,
            options=dict(draft.options),
            connected_by_id=by,
        )
        provider.save()
        if draft.secret or draft.variable:
            keep_key(Credential(provider=provider), draft)
    problem = refresh_models(provider).problem if speaks(draft.kind) else ""
    price_declared(provider)
    with transaction.atomic():
        _tick(provider, choice)
        for name, price in choice.prices.items():
            model = provider.models.filter(model_id=name).first()
            if model is not None:
                set_price(model, price, by=by)
        provider.enabled = enable
        provider.save(update_fields=["enabled"])
    provider.refresh_from_db()
    return provider, provider.inactive_reason or problem


def keep_key(credential: Credential, draft: Draft) -> Credential:
    if draft.variable:
        credential.variable = draft.variable
    else:
        credential.keep(draft.secret)
    credential.save()
    return credential


def _tick(provider: Provider, choice: Choice) -> None:
    off = [
        model.pk
        for model in provider.models.filter(active=True)
        if (model.model_id not in choice.ticked if model.model_id in choice.shown else not _usual(model))
    ]
    if off:
        LanguageModel.objects.filter(pk__in=off).update(active=False)
    configuration_changed()


def _usual(model: LanguageModel) -> bool:
    return model.use == LanguageModel.Use.CHAT and not _PREVIEW.search(model.model_id)


def with_variable(draft: Draft) -> Draft:
    """The draft with what the variable holds, as it will be used."""
    return replace(draft, secret=os.environ.get(draft.variable, "").strip()) if draft.variable else draft


# -- small things ------------------------------------------------------------------------


def _limits(seconds: float) -> Limits:
    now = asyncio.get_running_loop().time()
    return Limits(deadline=now + seconds, connect=min(seconds, REACH_SECONDS), first_byte=seconds, idle=seconds)


def _timed(work: Callable[[], T]) -> tuple[T, int]:
    began = time.monotonic()
    done = work()
    return done, int((time.monotonic() - began) * 1000)

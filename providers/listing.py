"""Which models does a provider serve? Its list is read, and the rows follow: new ones come, gone ones are not offered.

For sync code (`manage.py apply`, pages, jobs, the relister): the network is reached through `connector.call()`.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.db import transaction
from django.db.models import Case, F, Q, When
from django.utils import timezone
from django.utils.translation import gettext_noop

from providers import catalogue, connector, facts, signin
from providers.adapters import adapter_for, speaks
from providers.adapters.lists import looks_embedding
from providers.connector import Connector
from providers.errors import BadCredentials, ProviderError
from providers.models import Credential, LanguageModel, Provider, configuration_changed
from providers.registry import KINDS, Kind, Place
from providers.vault import SealBroken
from providers.wiring import Limits, ListedModel, Paging, Target

log = logging.getLogger(__name__)

LIST_SECONDS = 10.0
MOST_PAGES = 20
FACTS = ("context", "max_output", "listed", "capabilities", "lacks", "stage", "retires_on", "canonical", "parameters")

# Kept in the row in English and translated where it is shown.
UNKNOWN_KIND = gettext_noop("This kind of provider is not known.")
NOT_SPOKEN = gettext_noop("Relayhouse does not speak this provider's format yet.")
KEY_MISSING = gettext_noop("API key missing")
KEY_UNREADABLE = gettext_noop("The API key cannot be opened with this key ring: enter it again.")
NO_ADDRESS = gettext_noop("The address is missing.")
OF_OUR_OWN = gettext_noop("a server of our own")
PRETENDED = gettext_noop("declared by the pretend vendor")


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What reading a list changed, and what is wrong if it could not be read."""

    added: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    returned: tuple[str, ...] = ()
    count: int = 0  # models it has now
    problem: str = ""  # in words; empty when the list was read

    @property
    def changed(self) -> bool:
        return bool(self.added or self.gone or self.returned)


def refresh_models(provider: Provider) -> Refreshed:
    """Read the list and keep it. What is certainly wrong is noted on the provider, which then is not offered."""
    kind = KINDS.get(provider.kind)
    problem = _problem_before_asking(provider, kind)
    if problem or kind is None:
        return _failed(provider, problem or UNKNOWN_KIND, certain=True)
    try:
        target = target_of(provider)
    except SealBroken:
        return _failed(provider, KEY_UNREADABLE, certain=True)
    try:
        listed = list_models(target)
    except ProviderError as error:
        log.info("models of %s: %s", provider.slug, error.message)
        only_key = provider.credentials.filter(enabled=True).count() < 2
        certain = (isinstance(error, BadCredentials) and only_key) or error.reason == "target_blocked"
        # A server that is down for a moment goes on being offered, unless nothing of it is known anyway.
        return _failed(provider, error.message, certain=certain or not provider.models.exists())
    return _keep(provider, listed)


def list_models(target: Target) -> Sequence[ListedModel] | None:
    """The list as the provider gives it now; None when its kind has none to give."""
    if adapter_for(target.kind).models_request(signin.before(target)) is None:
        return None
    return connector.call(lambda connector: _pages(target, connector))


async def _pages(target: Target, connector: Connector) -> Sequence[ListedModel]:
    adapter = adapter_for(target.kind)
    target = await signin.ready(target, connector)
    request = adapter.models_request(target)
    listed: list[ListedModel] = []
    for page in range(MOST_PAGES):
        if request is None:
            break
        answer = await connector.send(request, _limits(target))
        if answer.status == 403 and page:
            break  # the key may read the list, and not what is beside it
        if answer.status >= 400:
            raise adapter.error(answer, target)
        listed += adapter.models_answer(answer, target)
        request = adapter.models_after(request, answer, target) if isinstance(adapter, Paging) else None
    return listed


def target_of(provider: Provider, model: str = "") -> Target:
    """The provider as adapters see it, with its first key. For control traffic; calls get theirs from the snapshot."""
    kind = KINDS[provider.kind]
    credential = first_credential(provider)
    return Target(
        provider_id=provider.pk,
        provider=provider.slug,
        kind=kind,
        base_url=provider.base_url or kind.base_url,
        model=model,
        credential_id=credential.pk if credential else None,
        secret=credential.reveal() if credential else "",
        options=provider.options,
        timeout_seconds=provider.timeout_seconds,
    )


def first_credential(provider: Provider) -> Credential | None:
    """For control traffic the newest key that was not refused when it was last tried: a key that is being replaced may
    be withdrawn at any time."""
    lasting = Q(valid_until=None) | Q(valid_until__gt=timezone.now())
    enabled = provider.credentials.filter(enabled=True).filter(lasting)
    untroubled = Case(When(problem="", then=0), default=1)
    return (
        enabled.annotate(trouble=untroubled).order_by("trouble", F("valid_until").desc(nulls_first=True), "-id").first()
    )


def _limits(target: Target) -> Limits:
    now = asyncio.get_running_loop().time()
    seconds = min(LIST_SECONDS, target.timeout_seconds)
    return Limits(deadline=now + seconds, connect=seconds / 2, first_byte=seconds, idle=seconds)


def _problem_before_asking(provider: Provider, kind: Kind | None) -> str:
    if kind is None:
        return UNKNOWN_KIND
    if kind.retired:
        return kind.retired
    if not speaks(kind):
        return NOT_SPOKEN
    if not (provider.base_url or kind.base_url):
        return NO_ADDRESS
    credential = first_credential(provider)
    if credential is not None and credential.variable and not os.environ.get(credential.variable, "").strip():
        return f"The environment variable {credential.variable} is not set."
    if kind.key_required and credential is None:
        return KEY_MISSING
    return ""


# -- keeping ------------------------------------------------------------------------


def _failed(provider: Provider, problem: str, *, certain: bool) -> Refreshed:
    if certain and provider.inactive_reason != problem[:300]:
        provider.inactive_reason = problem[:300]
        with transaction.atomic():
            Provider.objects.filter(pk=provider.pk).update(inactive_reason=provider.inactive_reason)
            configuration_changed()
    return Refreshed(count=provider.models.filter(listed=True).count(), problem=problem)


def _keep(provider: Provider, listed: Sequence[ListedModel] | None) -> Refreshed:
    """The rows after the list, in one transaction that raises the revision once, and only when something changed."""
    with transaction.atomic():
        rows = LanguageModel.objects.filter(provider=provider).select_related("provider")
        known = {row.model_id: row for row in rows}
        named = {model.id: model for model in listed or ()}
        wanted = named if listed is not None else _declared(provider)
        added = [_new(provider, model, listed=listed is not None) for model in wanted.values() if model.id not in known]
        LanguageModel.objects.bulk_create(added, ignore_conflicts=True)  # another process may read the list too
        gone, returned, corrected = _compared(known, named) if listed is not None else ([], [], [])
        # Switched off with the list and on with it again; what a person switched off stays listed, and off.
        _update(gone, listed=False, active=False)
        _update(returned, listed=True, active=True)
        changed = {row.pk: row for row in corrected}
        changed |= {row.pk: row for name, row in known.items() if facts.settle(row, named.get(name))}
        LanguageModel.objects.bulk_update(changed.values(), FACTS)
        recovered = bool(provider.inactive_reason)
        provider.inactive_reason = ""
        provider.models_read_at = timezone.now()
        Provider.objects.filter(pk=provider.pk).update(inactive_reason="", models_read_at=provider.models_read_at)
        if added or gone or returned or changed or recovered:
            configuration_changed()
    return Refreshed(
        added=tuple(row.model_id for row in added),
        gone=tuple(row.model_id for row in gone),
        returned=tuple(row.model_id for row in returned),
        count=len(wanted),
    )


def _new(provider: Provider, model: ListedModel, *, listed: bool) -> LanguageModel:
    entry = catalogue.find(provider.kind, model.id)
    embeds = model.embedding or (entry is not None and entry["kind"] == "embedding")
    row = LanguageModel(
        provider=provider,
        model_id=model.id,
        name=model.name,
        use=LanguageModel.Use.EMBEDDING if embeds else LanguageModel.Use.CHAT,
        listed=listed,
    )
    facts.settle(row, model)
    return row


def _compared(
    known: dict[str, LanguageModel], named: dict[str, ListedModel]
) -> tuple[list[LanguageModel], list[LanguageModel], list[LanguageModel]]:
    """Rows whose model is gone, rows whose model is back, and rows about which the list now says something else."""
    gone = [row for row in known.values() if row.listed and row.active and row.model_id not in named]
    returned, corrected = [], []
    for row in map(known.get, named):
        if row is None:
            continue
        if not row.listed and not row.active:
            returned.append(row)
        if row.active and not row.listed:
            row.listed = True
            corrected.append(row)
    return gone, returned, corrected


def _update(rows: Sequence[LanguageModel], **values: bool) -> None:
    if rows:
        LanguageModel.objects.filter(pk__in=[row.pk for row in rows]).update(**values)


def _declared(provider: Provider) -> dict[str, ListedModel]:
    return {name: ListedModel(name, embedding=looks_embedding(name)) for name in _declared_names(provider)}


def _declared_names(provider: Provider) -> list[str]:
    """The models of a provider without a list are those its options name, else those its kind has."""
    options = provider.options
    given = options.get("models")
    names = [options.get("deployment"), options.get("default_model"), *(given if isinstance(given, list) else ())]
    declared = list(dict.fromkeys(name for name in names if isinstance(name, str) and name))
    return declared or list(KINDS[provider.kind].models)


# -- prices a provider declares itself -------------------------------------------------


@dataclass(frozen=True, slots=True)
class DeclaredPrice:
    """Per million tokens, as the provider says. Rows of it are made where the money is."""

    model_id: str
    currency: str
    input_per_million: Decimal
    output_per_million: Decimal
    cached_per_million: Decimal | None
    source: str


def declared_prices(provider: Provider) -> list[DeclaredPrice]:
    """What the pretend vendor's catalogue says, and zero for servers of our own. Others declare none here."""
    kind = KINDS.get(provider.kind)
    if kind is None:
        return []
    if kind.place is Place.LOCAL:
        zero, source = Decimal(0), OF_OUR_OWN
        names = provider.models.order_by("model_id").values_list("model_id", flat=True)
        return [DeclaredPrice(name, "USD", zero, zero, zero, source) for name in names]
    if kind.place is not Place.INSIDE:
        return []
    from providers.demo.catalogue import MODELS

    return [
        DeclaredPrice(
            model.id,
            model.currency,
            model.input_price,
            model.output_price,
            model.cached_price,
            PRETENDED,
        )
        for model in MODELS.values()
    ]

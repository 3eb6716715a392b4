"""What does the file declare? Every fault of it, or the values it stands for. No database, no network."""

from __future__ import annotations

import re
import zoneinfo
from decimal import Decimal
from typing import Any

from babel.numbers import list_currencies

from billing.costs import RATES, Rates, with_variants
from console.configuration import relatives, rows
from console.configuration.fields import Reader, described, given, nearest
from console.configuration.kinds import clean_address, kind_named
from console.configuration.names import RESERVED, read_slug
from console.configuration.reading import Table
from console.configuration.values import (
    UNSET,
    AliasWanted,
    Declared,
    Fault,
    FileRefused,
    MemberWanted,
    ModelWanted,
    PriceWanted,
    ProviderWanted,
    Surroundings,
    TeamWanted,
    Thing,
)
from console.configuration.variables import filled, read_key
from providers.registry import KINDS
from routing.conditions import POLICIES

EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
USES = ("chat", "embedding")

PRICES = {  # what the file calls it -> the column
    "input": "input_per_million",
    "output": "output_per_million",
    "cached": "cached_per_million",
    "cache_write": "cache_write_per_million",
    "reasoning": "reasoning_per_million",
    "audio_input": "audio_input_per_million",
    "audio_output": "audio_output_per_million",
    "per_request": "per_request",
    "batch_share": "batch_share",
}
VARIANTS = ("tiers", "windows")  # other rates for long prompts and for certain hours


def check(tree: Any, around: Surroundings) -> Declared:
    """The values, or FileRefused with every fault in the order of the file's paths."""
    faults: list[Fault] = []
    if tree is None:
        raise FileRefused([Fault("", "the file is empty.")])
    if not isinstance(tree, Table):
        raise FileRefused([Fault("", f"the file is {described(tree)}, not a mapping of sections.")])
    top = Reader(tree, "", faults)
    organisation = _organisation(top.table("organisation"), around.languages)
    providers = [_provider(each, around) for each in top.tables("providers")]
    aliases = _aliases(top.table("aliases"))
    teams = [_team(each) for each in top.tables("teams")]
    listed = rows.read(top)
    notes: list[str] = []
    other = top.raw("LLMProviders")
    if isinstance(other, Table):
        providers += relatives.read(Reader(other, "LLMProviders", faults, folded=True), around, notes)
    elif other is not UNSET:
        top.fault("LLMProviders", f"is {described(other)}, not a mapping.")
    top.done()
    declared = Declared(
        organisation,
        tuple(each for each in providers if each),
        tuple(aliases),
        tuple(each for each in teams if each),
        tuple(notes),
        tuple(listed),
    )
    _check_twice(declared, faults)
    if faults:
        raise FileRefused(list(dict.fromkeys(faults)))
    return declared


# -- sections -------------------------------------------------------------------


def _organisation(read: Reader | None, languages: tuple[str, ...]) -> dict[str, Any] | None:
    if read is None:
        return None
    fields = given(
        name=read.text("name", 120),
        label=read.text("label", 40, empty=True),
        time_zone=read.choice("time_zone", sorted(zoneinfo.available_timezones())),
        currency=_currency(read),
        language=read.choice("language", languages),
        default_model=_default_model(read),
    )
    read.done()
    return fields


def _provider(read: Reader, around: Surroundings) -> ProviderWanted | None:
    name = read.text("name", 80, required=True)
    slug = read_slug(read, name)
    kind_text = read.text("kind", 40, required=True)
    kind = kind_named(kind_text) if kind_text is not UNSET else None
    if kind is None and kind_text is not UNSET:
        read.fault("kind", f"'{kind_text}' is no kind of provider.{nearest(kind_text, KINDS) or _all_kinds()}")
    missing: list[str] = []
    address = filled(read, "base_url", read.text("base_url", 500, empty=True), around, missing)
    fields = given(
        name=name,
        kind=kind.slug if kind else UNSET,
        base_url=clean_address(read, "base_url", address, kind, around.networks),
        enabled=read.flag("enabled"),
        priority=read.whole("priority", 0, 32767),
        timeout_seconds=read.whole("timeout_seconds", 1, 86_400),
        options=_options(read, around, missing),
        data_region=read.text("data_region", 20, empty=True),
        trains_on_data=_trains(read),
        **_limits(read),
    )
    key = read_key(read, "api_key")
    models = [_model(each) for each in read.tables("models")]
    read.done()
    if slug is UNSET:
        return None
    return ProviderWanted(read.path, slug, fields, key, tuple(each for each in models if each), tuple(missing))


def _all_kinds() -> str:
    return f" It is one of: {', '.join(KINDS)}."


def _options(read: Reader, around: Surroundings, missing: list[str]) -> Any:
    """What a kind needs beyond address and key. Short plain values; null takes one away."""
    inner = read.table("options")
    if inner is None:
        return UNSET
    options: dict[str, Any] = {}
    for key in inner.written():
        value = filled(inner, key, _option(inner, key), around, missing)
        if value is not UNSET:
            options[key] = value
    return options


def _option(inner: Reader, key: str) -> Any:
    value = inner.raw(key)
    if value is None or isinstance(value, bool):
        return value
    if key == "temperature":
        return inner.number(key, 0, 2)
    if key == "max_tokens":
        return inner.whole(key, 1, 10_000_000)
    if key.endswith("_seconds"):
        return inner.number(key, 0.05, 86_400)
    match value:
        case str():
            return inner.text(key, 500, empty=True)
        case list():
            return inner.words(key, 200, 1000)
        case int():
            return value
    inner.fault(key, f"is {described(value)}; an option is a text, a list of texts, a whole number or null.")
    return UNSET


def _model(read: Reader) -> ModelWanted | None:
    model_id = read.text("id", 200, required=True)
    fields = given(
        name=read.text("name", 200, empty=True),
        use=read.choice("use", USES),
        active=read.flag("active"),
        only_as_fallback=read.flag("only_as_fallback"),
        context=read.whole("context", 1, 2_000_000_000, null=True),
        max_output=read.whole("max_output", 1, 2_000_000_000, null=True),
        capabilities=read.words("capabilities", 40, 40),
    )
    prices = [_price(each) for each in read.tables("prices")]
    read.done()
    if model_id is UNSET:
        return None
    return ModelWanted(read.path, model_id, fields, tuple(prices))


def _price(read: Reader) -> PriceWanted:
    amounts = {
        column: read.amount(
            name, required=name in ("input", "output"), null=name not in ("input", "output", "per_request")
        )
        for name, column in PRICES.items()
    }
    start, end = read.moment("from"), read.moment("until", null=True)
    if start is not UNSET and end is not UNSET and end is not None and end <= start:
        read.fault("until", "is not after `from`.")
    share = amounts["batch_share"]
    if share is not UNSET and share is not None and not (0 < share <= 1 and share == round(share, 3)):
        read.fault("batch_share", "is not a share: write 0.5 for half.")
    variants = {name: _variants(read, name) for name in VARIANTS}
    fields = given(**amounts, **variants, currency=_currency(read), valid_until=end, source=read.text("source", 200))
    read.done()
    return PriceWanted(read.path, None if start is UNSET else start, fields)


def _variants(read: Reader, name: str) -> Any:
    """As a row keeps them, once the arithmetic has agreed that it can read them."""
    value = read.raw(name)
    if value is UNSET:
        return UNSET
    kept = _kept(value)
    try:
        with_variants(Rates(0, "USD", Decimal(0), Decimal(0)), **{"tiers": (), "windows": (), name: kept})
    except ValueError as error:
        read.fault(name, f"cannot be read: {error}")
        return UNSET
    return kept


def _kept(value: Any) -> Any:
    """Plain lists and mappings; numbers with a point as text, which loses no digit."""
    if isinstance(value, list):
        return [_kept(each) for each in value]
    if isinstance(value, Table):
        return {key: _amount_text(key, each) for key, each in value.items()}
    return value


def _amount_text(key: str, value: Any) -> Any:
    return str(value) if key in RATES and value is not None else _kept(value)


def _currency(read: Reader) -> Any:
    value = read.text("currency", 3)
    if value is not UNSET and value not in list_currencies():
        read.fault("currency", f"'{value}' is no currency: write three capital letters, such as EUR.")
        return UNSET
    return value


def _aliases(read: Reader | None) -> list[AliasWanted]:
    if read is None:
        return []
    found = []
    for name in read.written():
        target = read.text(name, 300)
        if target is UNSET:
            continue
        slug, colon, model_id = target.partition(":")
        slug, model_id = slug.strip().lower(), model_id.strip()
        if not (slug and colon and model_id) or len(model_id) > 200:
            read.fault(name, f"'{target}' names no model: write provider:model id.")
        elif name != name.strip() or not name or len(name) > 200 or not name.isprintable():
            read.fault(name, "an alias has 1 to 200 characters and no space at its ends.")
        elif name == RESERVED or name.startswith((f"{RESERVED}:", f"{RESERVED}/")):
            read.fault(name, "'auto' means the default model everywhere: take another name.")
        else:
            found.append(AliasWanted(read.at(name), name, slug, model_id))
    return found


def _team(read: Reader) -> TeamWanted | None:
    name = read.text("name", 80, required=True)
    fields = given(
        description=read.text("description", 300, empty=True),
        default_model=_default_model(read),
        members_make_keys=read.flag("members_make_keys"),
        data_policy=_data_policy(read),
        keeps_content=read.flag("keeps_content"),
        **_limits(read),
    )
    members = _members(read)
    read.done()
    return None if name is UNSET else TeamWanted(read.path, name, fields, tuple(members))


def _members(read: Reader) -> list[MemberWanted]:
    """Addresses; a lead is written `{email: …, lead: true}`."""
    value = read.raw("members")
    if value is UNSET:
        return []
    if not isinstance(value, list):
        read.fault("members", f"is {described(value)}, not a list of addresses.")
        return []
    found = []
    for number, each in enumerate(value):
        path = f"{read.at('members')}[{number}]"
        email: Any = each
        lead: Any = UNSET
        if isinstance(each, Table):
            inner = Reader(each, path, read.faults)
            email, lead = inner.text("email", 254, required=True), inner.flag("lead")
            inner.done()
        if email is UNSET:
            continue
        if not isinstance(email, str) or not EMAIL.fullmatch(email.strip()) or len(email) > 254:
            read.faults.append(Fault(path, "is no email address."))
            continue
        found.append(MemberWanted(path, email.strip().lower(), None if lead is UNSET else lead))
    return found


def _limits(read: Reader) -> dict[str, Any]:
    """Of a team or a provider; null: no limit."""
    return {
        "requests_per_minute": read.whole("requests_per_minute", 1, 2_000_000_000, null=True),
        "tokens_per_minute": read.whole("tokens_per_minute", 1, 10**15, null=True),
        "concurrency": read.whole("concurrency", 1, 2_000_000_000, null=True),
    }


def _trains(read: Reader) -> Any:
    return None if read.raw("trains_on_data") is None else read.flag("trains_on_data")


def _data_policy(read: Reader) -> Any:
    value = read.text("data_policy", 20, empty=True)
    if value is UNSET or value in POLICIES:
        return value
    read.fault("data_policy", f"'{value}' is none: it is one of {', '.join(filter(None, POLICIES))}, or empty.")
    return UNSET


def _default_model(read: Reader) -> Any:
    value = read.text("default_model", 300, empty=True)
    if isinstance(value, str) and value and not all(part.strip() for part in value.replace("/", ":").split(":")):
        read.fault("default_model", f"'{value}' has an empty part: write provider:model id, an alias or a model id.")
        return UNSET
    return value


# -- what may stand only once -----------------------------------------------------


def _check_twice(declared: Declared, faults: list[Fault]) -> None:
    _once([(each.slug, each.path) for each in declared.providers], "provider", faults)
    _once([(each.name.lower(), each.path) for each in declared.teams], "team", faults)
    for thing in Thing:
        _once([(each.key, each.path) for each in declared.rows if each.thing is thing], thing, faults)
    for provider in declared.providers:
        _once([(each.model_id, each.path) for each in provider.models], "model", faults)
        for model in provider.models:
            _once([(_moment_words(each), each.path) for each in model.prices], "price", faults)
    for team in declared.teams:
        _once([(each.email, each.path) for each in team.members], "member", faults)


def _once(named: list[tuple[str, str]], what: str, faults: list[Fault]) -> None:
    first: dict[str, str] = {}
    for name, path in named:
        if name in first:
            faults.append(Fault(path, f"the {what} '{name}' is declared before, at {first[name]}."))
        first.setdefault(name, path)


def _moment_words(price: PriceWanted) -> str:
    return price.start.isoformat() if price.start else "from now on"

"""The `LLMProviders` section that configuration files of another house have: the same things under other names."""

from __future__ import annotations

import re
from typing import Any

from console.configuration.fields import Reader, given, nearest
from console.configuration.kinds import clean_address, kind_named
from console.configuration.names import read_slug
from console.configuration.values import UNSET, KeyWanted, ModelWanted, ProviderWanted, Surroundings
from console.configuration.variables import filled, read_key
from providers.registry import KINDS

ADDRESSES = ("BaseUrl", "Endpoint")
KEYS = ("ApiKey", "AccessToken", "Token", "SecretKey")
NOTED = ("MaxRetries", "Organization", "ProjectId", "AccessKey", "AccessKeyId", "SecretAccessKey")
SPAN = re.compile(r"(\d+\.)?\d{1,2}:[0-5]\d:[0-5]\d(\.\d+)?")
STRATEGY = "PriorityWithFallback"


def read(section: Reader, around: Surroundings, notes: list[str]) -> list[ProviderWanted | None]:
    found = [_provider(each, around, notes) for each in section.tables("Providers")]
    routing = section.table("Routing")
    if routing is not None:
        _routing(routing, notes)
    section.done()
    return found


def _provider(each: Reader, around: Surroundings, notes: list[str]) -> ProviderWanted | None:
    word = each.text("Type", 40, required=True)
    kind = kind_named(word) if word is not UNSET else None
    if kind is None and word is not UNSET:
        each.fault("Type", f"'{word}' is no type of provider.{nearest(word, [k.name for k in KINDS.values()])}")
    name = each.text("Name", 80, required=True)
    slug = read_slug(each, name)
    fields = given(
        name=name,
        kind=kind.slug if kind else UNSET,
        enabled=each.flag("Enabled"),
        priority=each.whole("Priority", 0, 32767),
    )
    key: KeyWanted | None = None
    models: tuple[ModelWanted, ...] = ()
    missing: list[str] = []
    inner = each.table("Configuration")
    if inner is not None:
        which = _one_of(inner, ADDRESSES)
        address = filled(inner, which, inner.text(which, 500), around, missing)
        key = read_key(inner, _one_of(inner, KEYS))
        options, models = _options(inner, around, missing)
        fields |= given(
            base_url=clean_address(inner, which, address, kind, around.networks),
            timeout_seconds=_seconds(inner),
            options=options or UNSET,
        )
        used = [name for name in NOTED if inner.raw(name) is not UNSET]
        notes += [f"{inner.at(name)} is noted, and not used yet." for name in used]
        inner.done()
    each.done()
    if slug is UNSET:
        return None
    return ProviderWanted(each.path, slug, fields, key, models, tuple(missing))


def _options(inner: Reader, around: Surroundings, missing: list[str]) -> tuple[dict[str, Any], tuple[ModelWanted, ...]]:
    """At Azure the deployment is what a request names, and the model it runs is only its description."""

    def text(name: str, longest: int) -> Any:
        return filled(inner, name, inner.text(name, longest), around, missing)

    model, deployment = text("DefaultModel", 200), text("DeploymentName", 200)
    options = given(
        default_model=model if deployment is UNSET else deployment,
        max_tokens=inner.whole("MaxTokens", 1, 10_000_000),
        temperature=inner.number("Temperature", 0, 2),
        api_version=text("ApiVersion", 40),
        region=text("Region", 40),
    )
    if deployment is UNSET or model is UNSET:
        return options, ()
    return options, (ModelWanted(inner.at("DeploymentName"), deployment, {"name": model}),)


def _one_of(inner: Reader, names: tuple[str, ...]) -> str:
    """Which of these names the file uses; two of them are a fault."""
    used = [name for name in names if inner.has(name)]
    for name in used[1:]:
        inner.raw(name)
        inner.fault(name, f"stands beside {used[0]}, which says the same.")
    for name in names:
        inner.raw(name)
    return used[0] if used else names[0]


def _seconds(inner: Reader) -> Any:
    name = _one_of(inner, ("TimeoutSeconds", "Timeout"))
    value = inner.raw(name)
    if isinstance(value, str) and SPAN.fullmatch(value):
        return _span(value)
    return inner.whole(name, 1, 86_400)


def _span(text: str) -> int:
    """Seconds of `00:01:40`."""
    days, _, clock = text.rpartition(".") if re.match(r"\d+\.\d+:", text) else ("", "", text)
    hours, minutes, seconds = clock.split(":")
    return int(days or 0) * 86_400 + int(hours) * 3600 + int(minutes) * 60 + int(float(seconds))


def _routing(read: Reader, notes: list[str]) -> None:
    strategy = read.text("Strategy", 60)
    if strategy == STRATEGY:
        notes.append(f"{read.at('Strategy')}: {STRATEGY} is how a model that several providers serve is chosen here.")
    elif strategy is not UNSET:
        notes.append(f"{read.at('Strategy')}: '{strategy}' is noted, and not used: the order is always by priority.")
    interval = read.text("HealthCheckInterval", 40)
    if interval is not UNSET:
        if SPAN.fullmatch(interval):
            notes.append(f"{read.at('HealthCheckInterval')} is noted, and not used yet.")
        else:
            read.fault("HealthCheckInterval", f"'{interval}' is no time span: write 00:00:30.")
    if read.whole("FailoverThreshold", 1, 1000) is not UNSET:
        notes.append(f"{read.at('FailoverThreshold')} is noted, and not used yet.")
    read.done()

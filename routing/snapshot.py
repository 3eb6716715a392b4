"""Everything a decision may know about the configuration, frozen at one revision. Values only; see compiler.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from billing.costs import Rates
from billing.terms import Bounds
from providers.registry import Kind, Place
from routing.breaker import Rules
from routing.chains import Chain
from routing.conditions import Test

RETIRED = "retired"  # its vendor has switched it off


@dataclass(frozen=True, slots=True)
class CredentialEntry:
    id: int
    uid: str
    weight: int = 1
    sealed: str = field(default="", repr=False)  # opened at the last moment, by the gateway
    variable: str = ""
    valid_until: float | None = None  # seconds since the epoch, when another key has taken its place


@dataclass(frozen=True, slots=True)
class ProviderEntry:
    id: int
    slug: str
    name: str
    kind: Kind
    base_url: str
    priority: int
    enabled: bool = True
    inactive_reason: str = ""
    credentials: tuple[CredentialEntry, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    timeout_seconds: float = 600.0
    only_teams: frozenset[int] = frozenset()  # answers nobody else; empty: everybody
    data_region: str = ""  # where it keeps what it is sent, as far as somebody said
    trains_on_data: bool | None = None
    bounds: Bounds | None = None  # what it allows us
    rules: Rules | None = None  # of its circuits; None: as usual

    @property
    def is_local(self) -> bool:
        return self.kind.place is not Place.CLOUD

    @property
    def in_eu(self) -> bool:
        return self.is_local or self.data_region == "eu" or (self.kind.eu and not self.data_region)


@dataclass(frozen=True, slots=True)
class ModelEntry:
    id: int
    provider: ProviderEntry
    model_id: str
    name: str = ""
    use: str = "chat"
    active: bool = True
    only_as_fallback: bool = False
    listed: bool = True  # named by its provider's own list
    context: int | None = None
    max_output: int | None = None
    capabilities: frozenset[str] = frozenset()
    lacks: frozenset[str] = frozenset()  # what is known that it cannot do
    parameters: Mapping[str, Any] = field(default_factory=dict)  # see providers/parameters.py
    stage: str = "stable"
    prices: tuple[Rates, ...] = ()  # newest first
    created: int = 0  # seconds since the epoch
    other_names: frozenset[str] = frozenset()  # aliases, and its string under former slugs of the provider
    string: str = field(init=False, compare=False)  # "<provider's slug>:<model id>", asked for many times a request

    def __post_init__(self) -> None:
        object.__setattr__(self, "string", f"{self.provider.slug}:{self.model_id}")

    @property
    def offered(self) -> bool:
        """Whether lists and pickers show it. One that is not shown still answers when it is named."""
        provider = self.provider
        usable = provider.enabled and not provider.inactive_reason and self.active and self.stage != RETIRED
        return usable and not self.only_as_fallback

    @property
    def gone(self) -> bool:
        """Its provider listed it once and does not any more."""
        return not self.active and not self.listed

    def rates_at(self, now: float) -> Rates | None:
        for rates in self.prices:
            if rates.valid_from <= now and (rates.valid_until is None or now < rates.valid_until):
                return rates.at(now) if rates.windows else rates
        return None


@dataclass(frozen=True, slots=True)
class TeamEntry:
    slug: str
    default_model: str = ""
    data_policy: str = ""
    keeps_content: bool = False


@dataclass(frozen=True, slots=True)
class UseCaseEntry:
    slug: str
    name: str
    tier: str = ""  # where a request names none


@dataclass(frozen=True, slots=True)
class TierEntry:
    slug: str
    name: str
    most_nano: int | None = None  # a request; None: no maximum
    currency: str = "USD"
    position: int = 0


@dataclass(frozen=True, slots=True)
class RouteEntry:
    name: str
    use_case: str
    tier: str  # empty: every
    chain: Chain
    targets: Mapping[str, tuple[ModelEntry, ...]]  # what the names in the chain mean here; none: not connected
    test: Test | None = None  # None: always
    when: str = "always"  # in words
    number: int = 0  # of the row


@dataclass(frozen=True, slots=True)
class FlagRule:
    on: bool
    test: Test | None = None  # None: everybody
    words: str = "always"


@dataclass(frozen=True, slots=True)
class FlagEntry:
    key: str
    governs: str
    enabled: bool = True
    share: float = 100.0  # per cent
    unit: str = "team"
    salt: int = 1
    rules: tuple[FlagRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Flags:
    """By what they govern, so that a decision looks only at those that concern it."""

    by_governed: Mapping[str, tuple[FlagEntry, ...]] = field(default_factory=dict)
    reads: frozenset[str] = frozenset()  # attributes of an ask that some rule looks at
    of_providers: Mapping[str, tuple[FlagEntry, ...]] = field(init=False)  # by slug
    of_models: Mapping[str, tuple[FlagEntry, ...]] = field(init=False)  # by model string

    def __post_init__(self) -> None:
        for name, head in (("of_providers", "provider:"), ("of_models", "model:")):
            found = {key.removeprefix(head): flags for key, flags in self.by_governed.items() if key.startswith(head)}
            object.__setattr__(self, name, found)

    def __bool__(self) -> bool:
        return bool(self.by_governed)


@dataclass(frozen=True, slots=True)
class Arm:
    name: str
    weight: float
    target: str  # asked first; empty: the route as it is
    models: tuple[ModelEntry, ...] = ()  # what the target means here


@dataclass(frozen=True, slots=True)
class ExperimentEntry:
    key: str
    arms: tuple[Arm, ...]
    unit: str = "user"
    salt: int = 1
    test: Test | None = None  # its audience; None: everybody

    @property
    def name(self) -> str:
        """As exposures are kept under: dealing anew begins a new count."""
        return f"{self.key}#{self.salt}"


@dataclass(frozen=True, slots=True)
class Routing:
    """How an intent finds its models."""

    use_cases: Mapping[str, UseCaseEntry] = field(default_factory=dict)
    tiers: Mapping[str, TierEntry] = field(default_factory=dict)
    rows: Mapping[tuple[str, str], tuple[RouteEntry, ...]] = field(default_factory=dict)  # by use case and tier
    flags: Flags = field(default_factory=Flags)
    experiments: Mapping[tuple[str, str], tuple[ExperimentEntry, ...]] = field(default_factory=dict)  # by cell
    reads: frozenset[str] = frozenset()  # attributes of an ask that some condition looks at


@dataclass(slots=True)
class Memo:
    """What was worked out from a snapshot before. It makes the engine faster and changes no answer of it."""

    decisions: dict[Any, Any] = field(default_factory=dict)
    routed: dict[Any, Any] = field(default_factory=dict)
    names: Any = None  # the index of names that nearest.py searches
    prefixes: frozenset[str] | None = None  # what known ids begin with
    lists: dict[Any, bytes] = field(default_factory=dict)  # of models, by what a key may use and whose it is


@dataclass(frozen=True, slots=True)
class Snapshot:
    revision: int = 0
    release: int = 0
    providers: Mapping[str, ProviderEntry] = field(default_factory=dict)  # by slug
    slugs: Mapping[str, str] = field(default_factory=dict)  # lower-case slug, present or former -> present slug
    models: Mapping[tuple[str, str], ModelEntry] = field(default_factory=dict)  # (slug, model id)
    by_model_id: Mapping[str, tuple[ModelEntry, ...]] = field(default_factory=dict)  # by priority, then slug
    aliases: Mapping[str, ModelEntry] = field(default_factory=dict)
    teams: Mapping[int, TeamEntry] = field(default_factory=dict)
    team_bounds: Mapping[int, Bounds] = field(default_factory=dict)  # of those that have any
    routing: Routing = field(default_factory=Routing)
    team_defaults: Mapping[int, str] = field(default_factory=dict)
    house_default: str = ""
    restricted: bool = False  # some provider answers some teams only
    memo: Memo = field(default_factory=Memo, compare=False, repr=False)

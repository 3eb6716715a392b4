"""What a file declares, what the house has, and what is wrong with a file: plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum
from typing import Any, Final

from providers.addresses import Network

Fields = Mapping[str, Any]


class _Unset(Enum):
    UNSET = "unset"


UNSET: Final = _Unset.UNSET  # the file does not say; None is a value that it may say


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing wrong with a file, and where: `providers[2].base_url`."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class FileRefused(Exception):
    """The file says something that cannot be: every fault of it."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a file is read in: it decides which values are possible and what `${VARIABLE}` stands for."""

    languages: tuple[str, ...]
    networks: tuple[Network, ...] = ()  # private networks that cloud kinds may use
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


# -- what a file declares -------------------------------------------------------


class KeyFrom(Enum):
    VARIABLE = "variable"
    LITERAL = "literal"
    KEPT = "kept"  # an exported file says that there is one, and not which
    NOWHERE = "nowhere"  # null: take it away


@dataclass(frozen=True, slots=True)
class KeyWanted:
    path: str
    origin: KeyFrom
    variable: str = ""
    secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class PriceWanted:
    path: str
    start: datetime | None  # None: from now on, if it differs from what is valid now
    fields: Fields


@dataclass(frozen=True, slots=True)
class ModelWanted:
    path: str
    model_id: str
    fields: Fields = field(default_factory=dict)
    prices: tuple[PriceWanted, ...] = ()


@dataclass(frozen=True, slots=True)
class ProviderWanted:
    path: str
    slug: str
    fields: Fields  # `options` holds only the options given; None takes one away
    key: KeyWanted | None = None
    models: tuple[ModelWanted, ...] = ()
    missing: tuple[str, ...] = ()  # variables that its address or options name and that are not set here


@dataclass(frozen=True, slots=True)
class AliasWanted:
    path: str
    name: str
    provider: str  # slug
    model_id: str


@dataclass(frozen=True, slots=True)
class MemberWanted:
    path: str
    email: str
    lead: bool | None = None  # None: the file does not say


@dataclass(frozen=True, slots=True)
class TeamWanted:
    path: str
    name: str
    fields: Fields
    members: tuple[MemberWanted, ...] = ()


class Thing(StrEnum):
    ORGANISATION = "organisation"
    PROVIDER = "provider"
    KEY = "API key"
    MODEL = "model"
    PRICE = "price"
    ALIAS = "alias"
    TEAM = "team"
    MEMBER = "member"
    USE_CASE = "use case"
    TIER = "tier"
    ROUTE = "route"
    FLAG = "flag"
    EXPERIMENT = "experiment"


@dataclass(frozen=True, slots=True)
class RowWanted:
    """A row of one of the lists about routing, by its slug, name or key."""

    path: str
    thing: Thing
    key: str
    fields: Fields
    absent: bool = False  # it is to go
    number: int = 0  # where it stands in its section


@dataclass(frozen=True, slots=True)
class Declared:
    organisation: Fields | None = None
    providers: tuple[ProviderWanted, ...] = ()
    aliases: tuple[AliasWanted, ...] = ()
    teams: tuple[TeamWanted, ...] = ()
    notes: tuple[str, ...] = ()
    rows: tuple[RowWanted, ...] = ()


# -- what the house has ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KeyHeld:
    variable: str = ""
    last_four: str = ""
    secret: str = field(default="", repr=False)  # empty when it is a variable's


@dataclass(frozen=True, slots=True)
class PriceHeld:
    pk: int
    start: datetime
    fields: Fields


@dataclass(frozen=True, slots=True)
class ModelHeld:
    fields: Fields
    listed: bool = False
    prices: tuple[PriceHeld, ...] = ()  # newest first


@dataclass(frozen=True, slots=True)
class ProviderHeld:
    slug: str
    fields: Fields
    key: KeyHeld | None = None
    models: Mapping[str, ModelHeld] = field(default_factory=dict)
    listed: bool = False  # its own list of models was read at least once
    former_slugs: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class TeamHeld:
    name: str
    fields: Fields
    members: Mapping[str, bool] = field(default_factory=dict)  # lower-case address -> leads
    archived: bool = False


@dataclass(frozen=True, slots=True)
class House:
    organisation: Fields = field(default_factory=dict)
    providers: Mapping[str, ProviderHeld] = field(default_factory=dict)  # by slug
    aliases: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # name -> (slug, model id)
    teams: Mapping[str, TeamHeld] = field(default_factory=dict)  # by name
    rows: Mapping[Thing, Mapping[str, Fields]] = field(default_factory=dict)  # of the lists about routing, by key
    meant_by_keys: Mapping[Thing, frozenset[str]] = field(default_factory=dict)  # use cases and tiers of API keys
    people: frozenset[str] = frozenset()  # lower-case addresses of those who may be put into a team

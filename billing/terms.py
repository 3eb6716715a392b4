"""What may be used, by whom: the limits of a key, a team or a provider, and the budget of a key. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field

from billing.windows import Window, window_of

REQUESTS, TOKENS, RUNNING, MONEY = "requests", "tokens", "running", "money"
MINUTE = 60.0

# Whose it is, what it is, and of money which window: what stands for one shared amount in every process.
Key = tuple[str, int, str, str]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is allowed within a minute, and at once. None: no limit."""

    scope: str  # key, team, provider
    scope_id: int
    requests: int | None = None
    tokens: int | None = None
    running: int | None = None
    entering: tuple[tuple[Key, int], ...] = field(init=False, compare=False)  # what one request takes one of
    tokens_key: Key = field(init=False, compare=False)

    def __post_init__(self) -> None:
        limits = ((REQUESTS, self.requests), (RUNNING, self.running))
        entering = tuple((self.key(what), limit) for what, limit in limits if limit is not None)
        object.__setattr__(self, "entering", entering)
        object.__setattr__(self, "tokens_key", self.key(TOKENS))

    def key(self, what: str) -> Key:
        return (self.scope, self.scope_id, what, "")


def bounds(scope: str, scope_id: int, requests: int | None, tokens: int | None, running: int | None) -> Bounds | None:
    """None where nothing is limited, so that looking costs nothing."""
    if requests is None and tokens is None and running is None:
        return None
    return Bounds(scope, scope_id, requests, tokens, running)


@dataclass(frozen=True, slots=True)
class Terms:
    """A budget, as a request needs to know it."""

    budget_id: int
    scope: str
    scope_id: int
    limit_nano: int
    currency: str
    period: str = "month"  # day, week, month, total
    zone: str = "UTC"
    downgrade: bool = False  # at its end: one tier lower, if that fits; else no
    demo: bool = False  # counts what is made up, and nothing else

    def window(self, moment: float) -> Window:
        return window_of(self.period, self.zone, moment)

    def key(self, window: Window) -> Key:
        return (self.scope, self.scope_id, MONEY, self.series(window))

    def series(self, window: Window) -> str:
        """One row of the store each: another currency or calendar begins another one."""
        name = f"{self.currency} {window.name} {self.zone}"
        return f"demo {name}" if self.demo else name


@dataclass(frozen=True, slots=True)
class Allowance:
    """All that is limited for a key."""

    bounds: Bounds | None = None
    budget: Terms | None = None

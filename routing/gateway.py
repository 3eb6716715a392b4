"""The one path of all traffic: ask -> decide -> ( admit -> attempt )* -> settle.

`answer` gives a whole answer, `open` a `Call` to iterate over. Both write an attempt to the journal before the first
byte goes upstream and settle it exactly once. Until the first meaningful event another candidate may step in; after it
an error is an error.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from billing.ids import new_request_id, started_at
from billing.journal import JournalFailed
from billing.ledger import Ledger
from billing.records import Payer
from billing.slices import Slices
from providers.chat import ChatRequest
from providers.wiring import Port
from routing.asks import Ask
from routing.breaker import Breakers
from routing.calls import Call
from routing.contents import Contents
from routing.decisions import Decision
from routing.engine import decide
from routing.exposures import Exposures
from routing.intents import NONE, Hints
from routing.load import Load
from routing.refusal import Refusal, code_of
from routing.retries import DEFAULT, Policy
from routing.snapshot import Snapshot

__all__ = ["Call", "Gateway", "Refusal", "Snapshots", "code_of"]

log = logging.getLogger(__name__)

COMPLAINT_SECONDS = 10.0  # a full disk is not helped by a line a request


class Snapshots(Protocol):
    """Where the gateway finds the configuration of the moment."""

    @property
    def current(self) -> Snapshot: ...

    async def refresh(self) -> None: ...


class Gateway:
    """One a process. Holds what calls have in common; a call holds the rest."""

    def __init__(
        self,
        *,
        port: Port,
        ledger: Ledger,
        snapshots: Snapshots,
        relist: Callable[[str], Coroutine[Any, Any, bool]] | None = None,
        retries: Policy = DEFAULT,
        draw: Callable[[], float] = random.random,
        breakers: Breakers | None = None,
        slices: Slices | None = None,
    ) -> None:
        self.port = port
        self.ledger = ledger
        self.slices = slices  # without it nothing is limited
        self.snapshots = snapshots
        self.in_flight = 0
        self.waiting = 0  # of those, how many wait to ask the same target again
        self.retries = retries
        self.draw = draw
        self.load = Load()
        self.exposures = Exposures()
        self.contents = Contents()
        self.breakers = Breakers() if breakers is None else breakers
        self._relist = relist
        self._complained = -COMPLAINT_SECONDS

    def call(
        self,
        request: ChatRequest,
        payer: Payer,
        *,
        model: str,
        allowed_models: frozenset[str] = frozenset(),
        extras: tuple[str, ...] = (),
        strict: bool = False,
        client_request_id: str = "",
        request_id: str = "",
        recheck: Callable[[], Awaitable[object]] | None = None,
        hints: Hints = NONE,
    ) -> Call:
        """A call that has not begun: `async with` it and await `answer()` or `open()`, once. `recheck` raises what
        forbids one more attempt: a key that was revoked while the first one was waited for."""
        ask = self.asking(request_id or new_request_id(), model, payer, allowed_models, hints)
        call = Call(self, ask, request, payer, extras=extras, strict=strict, client_request_id=client_request_id)
        call.recheck = recheck
        return call

    def asking(
        self,
        request_id: str,
        model: str,
        payer: Payer,
        allowed_models: frozenset[str],
        hints: Hints = NONE,
        **more: str,
    ) -> Ask:
        return asking(self.snapshots.current, request_id, model, payer, allowed_models, hints, **more)

    async def decision_for(self, ask: Ask) -> tuple[Decision, Snapshot]:
        snapshot = self.snapshots.current
        decision = self._decide(ask, snapshot)
        unknown = decision.problem is not None and decision.problem.code == "model_not_found"
        # A server of our own may have loaded the model a moment ago: ask it before saying no.
        if unknown and self._relist and await self._relist(ask.model):
            await self.snapshots.refresh()
            snapshot = self.snapshots.current
            decision = self._decide(ask, snapshot)
        return decision, snapshot

    def _decide(self, ask: Ask, snapshot: Snapshot) -> Decision:
        return decide(ask, snapshot, self.load.live, now=started_at(ask.request_id))

    def complain(self, error: JournalFailed) -> None:
        now = time.monotonic()
        if now - self._complained >= COMPLAINT_SECONDS:
            self._complained = now
            log.error("journal: %s", error)


def asking(
    snapshot: Snapshot,
    request_id: str,
    model: str,
    payer: Payer,
    allowed_models: frozenset[str],
    hints: Hints = NONE,
    *,
    use: str = "chat",
) -> Ask:
    """The question of a request, with what the configuration knows of whose it is."""
    team = snapshot.teams.get(payer.team_id) if payer.team_id is not None else None
    return Ask(
        request_id=request_id,
        model=model,
        team_id=payer.team_id,
        user_id=payer.user_id,
        key_id=payer.key_id,
        allowed_models=allowed_models,
        use=use,
        purpose=payer.purpose,
        use_case=hints.use_case,
        tier=hints.tier,
        complexity=hints.complexity,
        tags=hints.tags,
        end_user=hints.user,
        session=hints.session,
        team=team.slug if team else "",
        data_policy=team.data_policy if team else "",
    )

"""The one path of all traffic: ask -> decide -> ( admit -> attempt )* -> settle.

`answer` gives a whole answer, `open` a `Call` to iterate over. Both write an attempt to the journal before the first
byte goes upstream and settle it exactly once. Until the first meaningful event another candidate may step in; after it
an error is an error.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, Protocol, TypeVar

import msgspec

from billing.ids import attempt_id, new_request_id, started_at
from billing.journal import JournalFailed
from billing.ledger import Ledger
from billing.records import Finished, Opened, Payer, Settled
from providers.chat import ChatAnswer, ChatRequest, Event, Usage
from providers.errors import ProviderError
from providers.registry import Place
from providers.tokens import count_request
from providers.wiring import Limits, Port
from routing.attempts import Attempt, limits_of
from routing.engine import Ask, Decision, Live, as_it_is_now, decide
from routing.metrics import METRICS
from routing.refusal import Refusal, code_of
from routing.retries import DEFAULT, Failure, Policy, may_wait, next_step
from routing.settlement import Outcome, at_most, status_of
from routing.snapshot import ModelEntry, Snapshot

__all__ = ["Call", "Gateway", "Refusal", "Snapshots", "code_of"]

log = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 1.0  # what a client is told when the provider does not say
COMPLAINT_SECONDS = 10.0  # a full disk is not helped by a line a request
NOTHING_LIVE = Live()

T = TypeVar("T")


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
    ) -> None:
        self.port = port
        self.ledger = ledger
        self.snapshots = snapshots
        self.in_flight = 0
        self.waiting = 0  # of those, how many wait to ask the same target again
        self.retries = retries
        self.draw = draw
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
    ) -> Call:
        """A call that has not begun: `async with` it and await `answer()` or `open()`, once. `recheck` raises what
        forbids one more attempt: a key that was revoked while the first one was waited for."""
        ask = Ask(
            request_id=request_id or new_request_id(),
            model=model,
            team_id=payer.team_id,
            user_id=payer.user_id,
            key_id=payer.key_id,
            allowed_models=allowed_models,
            purpose=payer.purpose,
        )
        call = Call(self, ask, request, payer, extras=extras, strict=strict, client_request_id=client_request_id)
        call.recheck = recheck
        return call

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

    @staticmethod
    def _decide(ask: Ask, snapshot: Snapshot) -> Decision:
        return decide(ask, snapshot, NOTHING_LIVE, now=started_at(ask.request_id))

    def complain(self, error: JournalFailed) -> None:
        now = time.monotonic()
        if now - self._complained >= COMPLAINT_SECONDS:
            self._complained = now
            log.error("journal: %s", error)


class Call:
    """One request on its way: its decision, its attempts, its answer and its bill."""

    def __init__(
        self,
        gateway: Gateway,
        ask: Ask,
        request: ChatRequest,
        payer: Payer,
        *,
        extras: tuple[str, ...] = (),
        strict: bool = False,
        client_request_id: str = "",
    ) -> None:
        self.gateway = gateway
        self.ask = ask
        self.request = request
        self.payer = payer
        self.extras = extras
        self.strict = strict
        self.client_request_id = client_request_id
        self.request_id = ask.request_id
        self.recheck: Callable[[], Awaitable[object]] | None = None
        self.began = time.monotonic()
        self.decision: Decision | None = None
        self.snapshot: Snapshot | None = None
        self.model: ModelEntry | None = None
        self.warnings: tuple[str, ...] = ()
        self.attempts = 0
        self.deadline = float("inf")  # of everything, on the loop's clock
        self.first_token_ms: int | None = None
        self.outcome: Outcome | None = None  # of the last attempt that was settled
        self._input_estimate: int | None = None
        self._attempt: Attempt | None = None
        self._finished = False
        gateway.in_flight += 1

    # -- the two ways to be answered -------------------------------------------

    async def answer(self) -> ChatAnswer:
        """Ask for the whole answer at once. It is settled before it is given out."""
        answer = await self._first_that_answers(Attempt.answer)
        self.close()
        return answer

    async def open(self) -> None:
        """Wait for the first meaningful event of a stream."""
        await self._first_that_answers(Attempt.open)
        self.first_token_ms = self.elapsed_ms()

    def __aiter__(self) -> Call:
        return self

    async def __anext__(self) -> list[Event]:
        """The next events. The batch with the end in it is given out after the settlement was written."""
        attempt = self._attempt
        if attempt is None or self._finished:
            raise StopAsyncIteration
        try:
            events = await attempt.next_events()
        except ProviderError as error:
            self.close(error)
            raise
        if attempt.ended:
            self.close()
        return events

    async def __aenter__(self) -> Call:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(error if error is not None else asyncio.CancelledError())
        if self._attempt is not None:
            await self._attempt.hang_up()

    # -- deciding and trying ----------------------------------------------------

    async def _first_that_answers(self, ask_one: Callable[[Attempt, Limits], Coroutine[Any, Any, T]]) -> T:
        candidates = await self._candidates()
        failures: list[Failure] = []
        step = next_step((), len(candidates), seconds_left=1.0, draw=self.gateway.draw)
        while step is not None:
            if step.wait_seconds:
                await self._wait(step.wait_seconds)
            if failures and self.recheck is not None:
                await self.recheck()
            tried = len({failure.target for failure in failures} | {step.target}) if failures else 1
            untried = len(candidates) - tried
            others = min(untried, self.gateway.retries.attempts - len(failures) - 1)
            try:
                attempt = self._admit(candidates[step.target])
                return await ask_one(attempt, self._limits(attempt.model, others))
            except ProviderError as failure:
                failures.append(Failure(step.target, failure))
                await self._fail(failure)
            step = next_step(
                failures,
                len(candidates),
                seconds_left=self.deadline - asyncio.get_running_loop().time(),
                draw=self.gateway.draw,
                policy=self.gateway.retries,
            )
            if step is not None and step.wait_seconds and not self._may_wait():
                step = None
        raise self._spent(failures[-1].error) from failures[-1].error

    async def _candidates(self) -> tuple[ModelEntry, ...]:
        decision, snapshot = await self.gateway.decision_for(self.ask)
        self.decision, self.snapshot = decision, snapshot
        if decision.problem is not None:
            problem = decision.problem
            spent = problem.status >= 500
            raise Refusal(
                problem.status, problem.code, problem.message, request_id=self.request_id, param="model", spent=spent
            )
        candidates = decision.usable
        if self.extras:
            taking = tuple(model for model in candidates if model.provider.kind.passes_extras)
            if not taking:
                raise self._unknown_parameter()
            candidates = taking
        return candidates

    def _unknown_parameter(self) -> Refusal:
        names = ", ".join(f"'{name}'" for name in self.extras)[:500]
        plural = "s" if len(self.extras) > 1 else ""
        return Refusal(
            400,
            "unknown_parameter",
            f"Unknown parameter{plural}: {names}.",
            request_id=self.request_id,
            param=self.extras[0],
        )

    def _may_wait(self) -> bool:
        return may_wait(self.gateway.waiting, self.gateway.in_flight, self.gateway.retries)

    async def _wait(self, seconds: float) -> None:
        self.gateway.waiting += 1
        try:
            await asyncio.sleep(seconds)
        finally:
            self.gateway.waiting -= 1

    def _admit(self, model: ModelEntry) -> Attempt:
        """One attempt: worked out, written to the journal, not yet sent."""
        self._attempt = None
        newest = self.gateway.snapshots.current
        if newest is not self.snapshot:
            model = as_it_is_now(model, self.ask, newest)
        self.model = model
        attempt = Attempt(self.gateway.port, self.request, model)
        self.warnings = attempt.warnings
        if self.strict and attempt.warnings:
            raise Refusal(400, "unsupported_parameter", " ".join(attempt.warnings), request_id=self.request_id)
        attempt.opened = self._opened(attempt)
        try:
            self.gateway.ledger.reserve(attempt.opened)
        except JournalFailed as error:
            self.gateway.complain(error)
            raise Refusal(
                503, "ledger_unavailable", "The journal cannot be written.", request_id=self.request_id, retryable=True
            ) from error
        self.attempts += 1
        self._attempt = attempt
        return attempt

    def _opened(self, attempt: Attempt) -> Opened:
        snapshot, model, rates, credential = self.snapshot, attempt.model, attempt.rates, attempt.credential
        assert snapshot is not None
        provider = model.provider
        return Opened(
            attempt_id=attempt_id(self.request_id, self.attempts + 1),
            request_id=self.request_id,
            number=self.attempts + 1,
            payer=self.payer,
            provider_id=provider.id,
            provider=provider.slug,
            model=model.model_id,
            credential_id=credential.id if credential else None,
            price_id=rates.price_id if rates else None,
            currency=rates.currency if rates else "",
            reserved_nano=at_most(self.request.fields, self.input_estimate, model.max_output, rates),
            input_estimate=self.input_estimate,
            asked_model=self.ask.model[:300],
            streamed=self.request.stream,
            revision=snapshot.revision,
            release=snapshot.release,
            demo=provider.kind.place is Place.INSIDE,
        )

    def _limits(self, model: ModelEntry, others: int) -> Limits:
        """What is left of the time for everything; the first byte must leave some of it for those who come after."""
        now = asyncio.get_running_loop().time()
        due = min(self.deadline, now + model.provider.timeout_seconds)
        if self.deadline == float("inf"):
            self.deadline = due
        return limits_of(model.provider, due, (due - now) / (1 + others))

    @property
    def input_estimate(self) -> int:
        if self._input_estimate is None:
            family = self.model.provider.kind.slug if self.model else ""
            self._input_estimate = count_request(family, self.request.fields)
        return self._input_estimate

    async def _fail(self, error: ProviderError) -> None:
        """This attempt is over, but its request goes on."""
        attempt = self._attempt
        if attempt is None:
            return  # it never came to be: nothing was reserved, nothing was sent
        settled = self._settled(attempt, error)
        if settled is not None:
            try:
                self.gateway.ledger.settle(settled)
            except JournalFailed as failure:
                self.gateway.complain(failure)
        await attempt.hang_up()

    def _spent(self, error: ProviderError) -> Refusal:
        wait = error.retry_after
        return Refusal(
            error.status,
            error.reason,
            error.message,
            request_id=self.request_id,
            param=error.param,
            retry_after=RETRY_AFTER_SECONDS if wait is None and error.status == 429 else wait,
            retryable=error.retryable,
            spent=True,
            warnings=self.warnings,
        )

    # -- the bill ---------------------------------------------------------------

    @property
    def usage(self) -> Usage | None:
        return self.outcome.usage if self.outcome else None

    @property
    def amount_nano(self) -> int | None:
        return self.outcome.amount_nano if self.outcome else None

    @property
    def currency(self) -> str:
        opened = self._attempt.opened if self._attempt else None
        return opened.currency if opened else ""

    def close(self, error: BaseException | None = None) -> None:
        """Settle what is open and finish the request. The first call counts, later ones do nothing."""
        if self._finished:
            return
        self._finished = True
        self.gateway.in_flight -= 1
        attempt = self._attempt
        settled = self._settled(attempt, error) if attempt is not None else None
        finished = self._finished_record(error)
        try:
            if settled is not None:
                self.gateway.ledger.settle(settled, finished)
            else:
                self.gateway.ledger.finish(finished)
        except JournalFailed as failure:
            # The opened attempt is on disk already: it will be booked as estimated, so the money is not lost.
            self.gateway.complain(failure)
        model = self.model
        METRICS.finished(
            provider=model.provider.slug if model else "",
            model=model.model_id.partition("?")[0] if model else "",  # without wishes, which are without end
            status=finished.status,
            code=finished.error_code,
            duration_ms=finished.duration_ms,
            first_token_ms=finished.first_token_ms,
        )

    def _settled(self, attempt: Attempt, error: BaseException | None) -> Settled | None:
        """What is written of an attempt, once."""
        if attempt.settled:
            return None
        attempt.settled = True
        self.outcome = attempt.outcome(error, self.input_estimate)
        message = error.message if isinstance(error, ProviderError) else ""
        return attempt.settled_as(self.outcome, code_of(error), message, self.first_token_ms)

    def _finished_record(self, error: BaseException | None) -> Finished:
        snapshot, decision, model = self.snapshot, self.decision, self.model
        answering = self._attempt is not None and self._attempt.answering
        answered = answering or (self.outcome is not None and self.outcome.status == "ok")
        return Finished(
            request_id=self.request_id,
            payer=self.payer,
            status=status_of(error, answering),
            asked_model=self.ask.model[:300],
            error_code=code_of(error),
            client_request_id=self.client_request_id,
            provider=model.provider.slug if model and answered else "",
            model=model.model_id if model and answered else "",
            streamed=self.request.stream,
            attempts=self.attempts,
            first_token_ms=self.first_token_ms,
            duration_ms=self.elapsed_ms(),
            revision=snapshot.revision if snapshot else 0,
            release=snapshot.release if snapshot else 0,
            decision=msgspec.Raw(decision.as_json()) if decision else msgspec.Raw(b"null"),
            warnings=self.warnings,
            demo=model is not None and model.provider.kind.place is Place.INSIDE,
        )

    def elapsed_ms(self) -> int:
        return int((time.monotonic() - self.began) * 1000)

"""One call on its way: its decision, its attempts, its answer and its bill.

Until the first meaningful event another candidate may step in; after it an error is an error. Every attempt is in the
journal before its first byte goes upstream, and is settled exactly once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec import structs

from billing.costs import Rates
from billing.ids import attempt_id, started_at
from billing.journal import JournalFailed
from billing.records import Finished, Labels, Opened, Payer, Settled
from providers import parameters
from providers.chat import ChatAnswer, ChatRequest, Event, Usage, Wire
from providers.errors import ProviderError
from providers.registry import Place
from providers.tokens import count_request
from providers.wiring import Limits
from routing import intents
from routing.admission import OVER_BUDGET, Gate, one_tier_down, telling, tokens_at_most, without
from routing.asks import Ask, as_json
from routing.attempts import Attempt, limits_of
from routing.chains import Chain
from routing.completing import completed
from routing.contents import Kept
from routing.deciding import Circumstances, narrowed
from routing.decisions import Decision, Problem
from routing.engine import as_it_is_now
from routing.metrics import METRICS
from routing.picking import another_may_do, usable
from routing.refusal import PassedOver, Refusal, code_of
from routing.retries import Failure, Step, may_wait, next_step
from routing.settlement import Outcome, at_most, currency_of, status_of
from routing.snapshot import ExperimentEntry, ModelEntry, Snapshot

if TYPE_CHECKING:
    from routing.gateway import Gateway

RETRY_AFTER_SECONDS = 1.0  # what a client is told when the provider does not say

T = TypeVar("T")


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
        self._left_out = ""  # a warning about a parameter that the provider refused
        self._refused: set[int] = set()  # numbers of keys that did not do for this request
        self.headers: Mapping[bytes, bytes] = {}  # of the request, for rules that name one
        self.metadata: Mapping[str, Any] = {}
        self.kept: Kept | None = None  # collects what was said, where it is to be kept
        self.labels: Labels | None = None
        self.queued_ms: int | None = None
        self.retries = gateway.retries
        self._meant_for: tuple[frozenset[str], ...] = ()  # of each candidate: what must happen before it is asked
        self._first_token_seconds: float | None = None
        self._finished = False
        self.gate: Gate | None = None  # what limits the caller
        self._stepped_down = ""  # why the tier is a lower one
        gateway.in_flight += 1

    # -- the two ways to be answered -------------------------------------------

    async def answer(self) -> ChatAnswer:
        """Ask for the whole answer at once. It is settled before it is given out."""
        answer = await self._first_that_answers(Attempt.answer)
        if self.kept is not None:
            self.kept.take_answer(answer)
        self.close()
        return answer

    async def open(self) -> None:
        """Wait for the first meaningful event of a stream."""
        await self._first_that_answers(Attempt.open)
        self.first_token_ms = self.elapsed_ms()

    @property
    def wire(self) -> Wire | None:
        """The format in which the answer came."""
        return self._attempt.wire if self._attempt is not None else None

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
        if self.kept is not None:
            self.kept.take(events)
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
        try:
            return await self._until_answered(await self._candidates(), [], ask_one)
        except Refusal as refusal:
            if not self._may_step_down(refusal):
                raise
        candidates = await self._candidates()
        if self.decision is not None:
            self.decision = replace(self.decision, notes=(*self.decision.notes, self._stepped_down))
        return await self._until_answered(candidates, [], ask_one)

    def _may_step_down(self, refusal: Refusal) -> bool:
        """Whether the budget has one tier less for a request that it does not have enough for. Once a request."""
        budget = self.gate.budget if self.gate is not None else None
        decision, snapshot = self.decision, self.snapshot
        if budget is None or not budget.downgrade or self._stepped_down or self.attempts:
            return False
        if refusal.code not in OVER_BUDGET or decision is None or snapshot is None:
            return False
        lower = one_tier_down(decision.tier, snapshot.routing.tiers) if decision.route is not None else ""
        if not lower:
            return False
        self._stepped_down = f"the budget of this key has not enough left: tier {lower} in place of {decision.tier}"
        self.ask = structs.replace(self.ask, tier=lower)
        return True

    def _pass_over(self, model: ModelEntry, passed: PassedOver) -> None:
        """It costs no attempt, and the decision tells why."""
        self.retries = replace(self.retries, attempts=self.retries.attempts + 1)
        if self.decision is not None:
            self.decision = without(self.decision, model, passed)

    async def _until_answered(
        self,
        candidates: tuple[ModelEntry, ...],
        failures: list[Failure],
        ask_one: Callable[[Attempt, Limits], Coroutine[Any, Any, T]],
        first: int = 0,
    ) -> T:
        step: Step | None = Step(first)
        while step is not None:
            if step.wait_seconds:
                await self._wait(step.wait_seconds)
            if failures and self.recheck is not None:
                await self.recheck()
            tried = len({failure.target for failure in failures} | {step.target}) if failures else 1
            untried = len(candidates) - tried
            others = min(untried, self.retries.attempts - len(failures) - 1)
            try:
                attempt = await self._admit(candidates[step.target])
                return await ask_one(attempt, self._limits(attempt.model, others))
            except PassedOver as passed:
                failures.append(Failure(step.target, passed))
                self._pass_over(candidates[step.target], passed)
            except ProviderError as failure:
                failures.append(Failure(step.target, failure))
                await self._fail(failure)
            step = (
                self._with_another_key(failures)
                or self._without_refused(failures)
                or next_step(
                    failures,
                    len(candidates),
                    seconds_left=self.deadline - asyncio.get_running_loop().time(),
                    draw=self.gateway.draw,
                    policy=self.retries,
                    meant_for=self._meant_for,
                )
            )
            if step is not None and step.wait_seconds and not self._may_wait():
                step = None
        error = telling([failure.error for failure in failures])
        raise self._spent(error) from error

    def _with_another_key(self, failures: list[Failure]) -> Step | None:
        """The same target at once, when it was its key that was refused and it has others."""
        attempt, last = self._attempt, failures[-1]
        if attempt is None or attempt.credential is None or not another_may_do(last.error):
            return None
        self._refused.add(attempt.credential.id)
        left = usable(attempt.model.provider.credentials, time.time(), self._refused)
        in_time = self.deadline > asyncio.get_running_loop().time()
        return Step(last.target) if left and in_time and len(failures) < self.retries.attempts else None

    def _without_refused(self, failures: list[Failure]) -> Step | None:
        """The same target at once, when it named the one parameter that it does not take. Once a request."""
        last = failures[-1]
        left_out = parameters.without_refused(self.request, last.error)
        in_time = self.deadline > asyncio.get_running_loop().time()
        if left_out is None or self.strict or self._left_out or not in_time:
            return None
        if len(failures) >= self.retries.attempts:
            return None
        self.request, self._left_out = left_out
        return Step(last.target)

    async def _candidates(self) -> tuple[ModelEntry, ...]:
        current = self.gateway.snapshots.current
        if current.routing.flags.reads or (self.ask.use_case and intents.is_open(self.ask.model)):
            self.ask = completed(self.ask, self.request.fields, current, self._count, self.headers, self.metadata)
        decision, snapshot = await self.gateway.decision_for(self.ask)
        decision = narrowed(
            decision, self.ask, snapshot, self._circumstances(decision), self.request.fields, self._count
        )
        self.decision, self.snapshot = decision, snapshot
        self.labels = self._labelled(decision)
        if decision.problem is not None:
            raise self._refusal(decision.problem)
        if decision.exposes is not None:
            self._expose(decision.exposes, decision.arm)
        candidates = tuple(each for each in decision.candidates if each.usable)
        if self.extras:
            candidates = tuple(each for each in candidates if each.model.provider.kind.passes_extras)
            if not candidates:
                raise self._unknown_parameter()
        route = decision.route
        if route is not None:
            self._meant_for = tuple(each.on for each in candidates)
            self._follow(route.chain)
        return tuple(each.model for each in candidates)

    def _expose(self, experiment: ExperimentEntry, arm: str) -> None:
        unit, name = self.ask.unit(experiment.unit), arm.partition("/")[2]
        self.gateway.exposures.note(experiment.name, unit, name, self.request_id)

    def _circumstances(self, decision: Decision) -> Circumstances:
        breakers, now = self.gateway.breakers, started_at(self.request_id)
        if not decision.usable or not (breakers.states or breakers.held):
            return Circumstances(now)
        clock = time.time()
        targets = [model.string for model in decision.usable]
        shut = breakers.shut(targets, clock)
        left = any(target not in shut for target in targets)
        return Circumstances(
            now, shut=shut, last_resort="" if left or not shut else breakers.last_resort(targets, clock)
        )

    def _follow(self, chain: Chain) -> None:
        """The route's own limits, where it has any."""
        if chain.attempts is not None:
            self.retries = replace(self.retries, attempts=chain.attempts)
        if chain.seconds is not None:
            self.deadline = min(self.deadline, asyncio.get_running_loop().time() + chain.seconds)
        if self.request.stream:
            self._first_token_seconds = chain.first_token_seconds

    def _labelled(self, decision: Decision) -> Labels | None:
        ask, route = self.ask, decision.route
        use_case, tier = decision.use_case or ask.use_case, decision.tier or ask.tier
        if not (use_case or tier or ask.tags or ask.session):
            return None
        return Labels(use_case, tier, route.name if route else "", decision.arm, ask.session, ask.tags)

    def _refusal(self, problem: Problem) -> Refusal:
        return Refusal(
            problem.status,
            problem.code,
            problem.message,
            request_id=self.request_id,
            param=problem.param,
            spent=problem.status >= 500 or problem.status == 402,
            retry_after=problem.retry_after,
            retryable=problem.retry_after is not None,
        )

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
        return may_wait(self.gateway.waiting, self.gateway.in_flight, self.retries)

    async def _wait(self, seconds: float) -> None:
        self.gateway.waiting += 1
        try:
            await asyncio.sleep(seconds)
        finally:
            self.gateway.waiting -= 1

    async def _admit(self, model: ModelEntry) -> Attempt:
        """One attempt: worked out, let in by limits and budgets, written to the journal, not yet sent."""
        self._attempt = None
        newest = self.gateway.snapshots.current
        if newest is not self.snapshot:
            model = as_it_is_now(model, self.ask, newest)
        self.model = model
        attempt = self._attempt_at(model)
        self.warnings = (*attempt.warnings, self._left_out) if self._left_out else attempt.warnings
        if self.strict and attempt.warnings:
            raise Refusal(400, "unsupported_parameter", " ".join(attempt.warnings), request_id=self.request_id)
        attempt.opened = self._opened(attempt)
        if self.gate is not None or model.provider.bounds is not None:
            await self._hold(attempt, attempt.opened)
        try:
            self.gateway.ledger.reserve(attempt.opened)
        except JournalFailed as error:
            self.gateway.complain(error)
            if self.gate is not None:
                self.gate.settle(None)
            raise Refusal(
                503, "ledger_unavailable", "The journal cannot be written.", request_id=self.request_id, retryable=True
            ) from error
        if self.gateway.breakers.states:
            self.gateway.breakers.claim(model.string, time.time())
        if self.queued_ms is None:
            self.queued_ms = self.elapsed_ms()
        self.attempts += 1
        self._attempt = attempt
        self.gateway.load.begin(model.string)
        return attempt

    async def _hold(self, attempt: Attempt, opened: Opened) -> None:
        """Nothing is awaited while this process has enough of everything that is limited."""
        provider = attempt.model.provider.bounds
        if self.gate is None:
            if self.gateway.slices is None:
                return
            self.gate = Gate(self.gateway.slices)
        await self.gate.enter(self.request_id)
        pot_id = await self.gate.reserve(opened, provider, self._tokens_at_most(attempt.model))
        if pot_id is not None:
            attempt.opened = structs.replace(opened, pot_id=pot_id)

    def _attempt_at(self, model: ModelEntry) -> Attempt:
        return Attempt(self.gateway.port, self.request, model, draw=self.gateway.draw, refused=self._refused)

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
            currency=currency_of(rates, sees_cost=provider.kind.sees_cost),
            reserved_nano=self._at_most(model, rates),
            input_estimate=self.input_estimate,
            asked_model=self.ask.model[:300],
            streamed=self.request.stream,
            revision=snapshot.revision,
            release=snapshot.release,
            demo=provider.kind.place is Place.INSIDE,
            labels=self.labels,
        )

    def _at_most(self, model: ModelEntry, rates: Rates | None) -> int | None:
        return at_most(self.request.fields, self.input_estimate, model.max_output, rates)

    def _tokens_at_most(self, model: ModelEntry) -> int:
        return tokens_at_most(self.request.fields, self.input_estimate, model.max_output)

    def _limits(self, model: ModelEntry, others: int) -> Limits:
        """What is left of the time for everything; the first byte must leave some of it for those who come after."""
        now = asyncio.get_running_loop().time()
        due = min(self.deadline, now + model.provider.timeout_seconds)
        if self.deadline == float("inf"):
            self.deadline = due
        return limits_of(model.provider, due, (due - now) / (1 + others), self._first_token_seconds)

    @property
    def input_estimate(self) -> int:
        return self._count()

    def _count(self) -> int:
        if self._input_estimate is None:
            family = self.model.provider.kind.slug if self.model else ""
            self._input_estimate = count_request(family, self.request.fields)
        return self._input_estimate

    async def _fail(self, error: ProviderError | None) -> None:
        """This attempt is over, for better or worse, but its request goes on."""
        attempt = self._attempt
        if attempt is None:
            return  # it never came to be: nothing was reserved, nothing was sent
        settled = self._settled(attempt, error)
        if settled is not None:
            written = True
            try:
                self.gateway.ledger.settle(settled)
            except JournalFailed as failure:
                self.gateway.complain(failure)
                written = False
            if self.gate is not None:
                self.gate.settle(settled, written=written)
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
            spent=not isinstance(error, PassedOver) or error.retry_after is None,
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
        if self.kept is not None:
            self.gateway.contents.keep(self.kept, self.request_id)
        attempt = self._attempt
        settled = self._settled(attempt, error) if attempt is not None else None
        finished = self._finished_record(error)
        written = True
        try:
            if settled is not None:
                self.gateway.ledger.settle(settled, finished)
            else:
                self.gateway.ledger.finish(finished)
        except JournalFailed as failure:
            # The opened attempt is on disk already: it will be booked as estimated, so the money is not lost.
            self.gateway.complain(failure)
            written = False
        if self.gate is not None:
            self.gate.settle(settled, written=written)
            self.gate.leave(counts=self.attempts > 0)
        model = self.model
        METRICS.finished(
            provider=model.provider.slug if model else "",
            model=model.model_id.partition("?")[0] if model else "",  # without wishes, which are without end
            status=finished.status,
            code=finished.error_code,
            duration_ms=finished.duration_ms,
            first_token_ms=finished.first_token_ms,
            attempts=finished.attempts,
        )

    def _settled(self, attempt: Attempt, error: BaseException | None) -> Settled | None:
        """What is written of an attempt, once."""
        if attempt.settled:
            return None
        attempt.settled = True
        self.gateway.load.end(attempt.model.string, self.first_token_ms if error is None else None)
        self._note(attempt, error)
        self.outcome = outcome = attempt.outcome(error, self.input_estimate)
        if outcome.usage is not None:
            model = attempt.model
            name, currency = model.model_id.partition("?")[0], attempt.opened.currency if attempt.opened else ""
            METRICS.used(model.provider.slug, name, outcome.buckets, outcome.amount_nano, currency)
        message = error.message if isinstance(error, ProviderError) else ""
        return attempt.settled_as(self.outcome, code_of(error), message, self.first_token_ms)

    def _has_another_key(self, attempt: Attempt) -> bool:
        used = {*self._refused, *([attempt.credential.id] if attempt.credential else [])}
        return bool(usable(attempt.model.provider.credentials, time.time(), used))

    def _note(self, attempt: Attempt, error: BaseException | None) -> None:
        """What this says about the target. The pretend vendor fails on purpose, and one key of several is no target."""
        breakers, model = self.gateway.breakers, attempt.model
        if (error is None and not breakers.states) or model.provider.kind.place is Place.INSIDE:
            return
        if isinstance(error, ProviderError) and another_may_do(error) and self._has_another_key(attempt):
            return
        breakers.note(model.string, error, time.time(), model.provider.rules)

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
            labels=self.labels,
            queued_ms=self.queued_ms,
            ask=msgspec.Raw(self._asked_as_json()),
        )

    def _asked_as_json(self) -> bytes:
        """What was asked but for its content, so that it can be decided again."""
        ask = self.ask
        if ask.use_case or ask.tags or ask.session or ask.end_user or ask.data_policy:
            return as_json(structs.replace(ask, input_tokens=self._input_estimate or 0))
        return b'{"input_tokens":%d}' % self._input_estimate if self._input_estimate else b"null"

    def elapsed_ms(self) -> int:
        return int((time.monotonic() - self.began) * 1000)

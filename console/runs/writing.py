"""One run at work: asks the gateway, turns events into frames, and ends exactly once, whatever happens."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from django.utils import translation

from billing.records import Payer
from console.markdown import Blocks
from console.models import Run
from console.runs.log import Frame, Log
from console.runs.store import Begun, Ending
from providers.chat import ChatRequest, Event, Finish, FinishReason, TextDelta
from providers.errors import Interrupted, ProviderError
from providers.tokens import count_tokens
from routing.gateway import Call, Gateway, Refusal

log = logging.getLogger(__name__)

STATS_SECONDS = 0.5
MOST_TOKENS = 2**31 - 1  # what a row holds
STOPPED, RESTART = "stopped", "server_restart"
# A whole answer that is not what was hoped for: worth a line under it.
NOTED = {FinishReason.LENGTH: "length", FinishReason.CONTENT_FILTER: "content_filter"}


@dataclass(frozen=True, slots=True)
class Outcome:
    status: Run.Status
    code: str = ""
    message: str = ""


class Writing:
    """`task` runs until the answer is stored. `stop` ends it early."""

    def __init__(self, begun: Begun, gateway: Gateway, store_end: Callable[[Ending], Awaitable[None]]) -> None:
        self.begun = begun
        self.log = Log(begun.run_id)
        self.kept = 0  # frames that are in the table
        self._gateway = gateway
        self._store_end = store_end
        self._blocks = Blocks()
        self._texts: list[str] = []
        self._why = ""
        self._over = False
        self._asking = False  # there is a call that can be cancelled
        self._finish: FinishReason | None = None
        self._counted = 0  # tokens, by our own count, for the numbers shown while it streams
        self._uncounted: list[str] = []
        self._stats_at = 0.0
        # In a context of its own: the request or socket that began it may be long gone.
        self.task = asyncio.create_task(self._run(), name=begun.run_id)

    def stop(self, why: str = STOPPED) -> None:
        """Nothing is written after this, the upstream call is cancelled, what came is billed."""
        if self._why or self._over:
            return
        self._why = why
        self.log.add({"type": "stopping"})
        if self._asking:
            self.task.cancel()

    # -- from beginning to end -----------------------------------------------------

    async def _run(self) -> None:
        begun = self.begun
        call = self._gateway.call(
            ChatRequest({"messages": msgspec.Raw(msgspec.json.encode(begun.history))}, stream=True),
            Payer("playground", begun.team_id, begun.user_id),
            model=begun.model,
            request_id=begun.request_id,
        )
        self._asking = not self._why  # it may have been stopped before this task had its first turn
        outcome = await self._outcome(call)
        self._asking, self._over = False, True
        await self._store_end(self._ending(call, outcome))
        self.log.add({"type": "end"})

    async def _outcome(self, call: Call) -> Outcome:
        try:
            async with call:
                if self._why:
                    raise asyncio.CancelledError
                await self._answer(call)
        except asyncio.CancelledError:
            if not self._why:
                raise  # not asked for by anybody: the loop itself is ending
            _forget_cancellation()
            return Outcome(Run.Status.STOPPED)
        except Refusal as refusal:
            return Outcome(Run.Status.FAILED, refusal.code, refusal.message)
        except ProviderError as error:
            status = Run.Status.INTERRUPTED if error.reason == RESTART else Run.Status.FAILED
            return Outcome(status, error.reason, error.message)
        except Exception:
            # A fault of ours: whoever waits for the answer must see that it has ended.
            log.exception("run %s failed", self.begun.run_id)
            return Outcome(Run.Status.FAILED, "internal_error")
        return Outcome(Run.Status.DONE, NOTED.get(self._finish, "") if self._finish else "")

    async def _answer(self, call: Call) -> None:
        try:
            await call.open()
            self._say_stats(call)
            async for events in call:
                self._take(events)
                if self._now() - self._stats_at > STATS_SECONDS:
                    self._say_stats(call)
        except asyncio.CancelledError:
            if self._why != RESTART:
                raise
            _forget_cancellation()
            raise Interrupted("The server restarted.", code=RESTART) from None

    def _take(self, events: list[Event]) -> None:
        # Some databases take no NUL, and one that cannot be stored would hold up every other run of this process.
        text = "".join(event.text for event in events if type(event) is TextDelta).replace("\x00", "\ufffd")
        for event in events:
            if type(event) is Finish:
                self._finish = event.reason
        if not text or self._why:
            return
        self._texts.append(text)
        self._uncounted.append(text)
        self.log.add({"type": "delta", "text": text})
        with translation.override(self.begun.language):
            html = self._blocks.feed(text)
        if html is not None:
            self.log.add({"type": "block", "html": str(html), "tail": self._blocks.tail})

    # -- numbers ------------------------------------------------------------------

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _say_stats(self, call: Call) -> None:
        """While it streams: our own count. The bill has the provider's, when it comes."""
        self._stats_at = self._now()
        self._counted += count_tokens("", "".join(self._uncounted))
        self._uncounted.clear()
        stats: Frame = {"type": "stats", "first_token_ms": call.first_token_ms, "output_tokens": self._counted}
        if call.model is not None:
            stats |= {"provider": call.model.provider.slug, "model": call.model.model_id}
        if call.first_token_ms is not None and self._counted:
            stats["duration_ms"] = call.elapsed_ms()
        self.log.add(stats)

    def _ending(self, call: Call, outcome: Outcome) -> Ending:
        model, usage = call.model, call.usage
        fields: dict[str, Any] = {
            "provider": model.provider.slug if model else "",
            "model": model.model_id[:200] if model else "",  # wishes may be long
            "error_code": outcome.code[:60],
            "error_message": outcome.message[:500],
            "first_token_ms": call.first_token_ms,
            "duration_ms": call.elapsed_ms(),
            "input_tokens": min(usage.prompt, MOST_TOKENS) if usage else None,
            "output_tokens": min(usage.completion, MOST_TOKENS) if usage else None,
            "amount_nano": call.amount_nano,
            "currency": call.currency[:3],
        }
        frames = [*self.log.since(self.kept), (self.log.last + 1, {"type": "end"})]
        return Ending(self.begun.run_id, self.begun.message_id, "".join(self._texts), outcome.status, fields, frames)


def _forget_cancellation() -> None:
    """The cancellation was ours and has done its work: what follows must be able to wait."""
    task = asyncio.current_task()
    assert task is not None
    while task.cancelling():
        task.uncancel()

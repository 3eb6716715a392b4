"""What came of an attempt, and what is to be paid for it. Values only.

Who says how many tokens there were: the provider, if it said so and it is believable; we, if output came; nobody, if
the provider may have worked without answering (`ambiguous`: listed for reconciliation, not charged). An attempt that
the provider refused costs nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import msgspec

from billing.costs import REPORTED_CURRENCY, Rates, cost, reported_cost, worst_case
from providers.chat import (
    ChatAnswer,
    Event,
    Fields,
    ReasoningDelta,
    Start,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReport,
    UsageSource,
)
from providers.errors import (
    BadCredentials,
    BadRequest,
    InvalidAnswer,
    ModelNotFound,
    Overloaded,
    ProviderError,
    QuotaExhausted,
    RateLimited,
)
from providers.tokens import count_request_exactly, count_tokens

# The provider answered "no" in words: it did not do the work.
REFUSED = (RateLimited, QuotaExhausted, Overloaded, BadCredentials, ModelNotFound, BadRequest)

# Reported numbers above this many times our own count are not believed; the slack spares very short texts.
BELIEVABLE, SLACK = 4, 256
MOST_PER_PICTURE = 50_000

# Reasoning and audio, which we cannot count, and what an agent reads: no answer has more of them.
HIDDEN = 2**20

DEFAULT_OUTPUT = 4096  # tokens reserved when neither the request nor the model says how long an answer may get

NO_USAGE = Usage(source=UsageSource.ESTIMATED)


class Outcome(msgspec.Struct, frozen=True):
    status: str  # ok, failed, cancelled, interrupted
    billed: str  # provider, counted, estimated, voided, ambiguous
    usage: Usage | None = None
    amount_nano: int | None = None
    formula: str = ""

    @property
    def buckets(self) -> tuple[int, int, int, int, int, int]:
        usage = self.usage or NO_USAGE
        return (usage.input, usage.cached, usage.cache_write, usage.output, usage.reasoning, usage.audio)


@dataclass(slots=True)
class Tally:
    """What has arrived so far."""

    sees_cost: bool = False  # this kind of provider says what a call cost, and is believed
    agent: bool = False  # it reads what it finds and thinks out of our sight: what we see says little about its usage
    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    usage: Usage | None = None
    upstream_id: str = ""
    upstream_status: int | None = None

    @property
    def answering(self) -> bool:
        return bool(self.texts or self.thoughts)

    def take(self, events: list[Event]) -> None:
        for event in events:
            kind = type(event)
            if kind is TextDelta:
                self.texts.append(event.text)  # type: ignore[union-attr]
            elif kind is ReasoningDelta:
                self.thoughts.append(event.text)  # type: ignore[union-attr]
            elif kind is ToolCallDelta:
                self.texts.append(event.name + event.arguments)  # type: ignore[union-attr]
            elif kind is UsageReport:
                self.usage = event.usage  # type: ignore[union-attr]
            elif kind is Start:
                self.upstream_id = event.id  # type: ignore[union-attr]

    def take_answer(self, answer: ChatAnswer) -> None:
        self.upstream_id = answer.id
        self.usage = answer.usage
        if answer.text:
            self.texts.append(answer.text)
        if answer.reasoning:
            self.thoughts.append(answer.reasoning)
        self.texts += [call.name + call.arguments for call in answer.tool_calls]

    def outcome(self, error: BaseException | None, fields: Fields, input_estimate: int, rates: Rates | None) -> Outcome:
        status = status_of(error, self.answering)
        if error is not None and not self.answering:
            return Outcome(status, "voided" if _refused(error) else "ambiguous")
        usage = self._believable(input_estimate, unseen_in(fields)) if error is None else None
        if usage is None:
            usage = self._counted(fields)
        price = cost(usage, rates) if rates is not None else None
        if self.sees_cost and usage.reported_nano is not None and usage.reported_nano >= 0:
            price = reported_cost(usage.reported_nano, price, currency_of(rates, sees_cost=True))
        if price is None:
            return Outcome(status, usage.source.value, usage)
        return Outcome(status, usage.source.value, usage, price.amount_nano, price.formula)

    def _believable(self, input_estimate: int, unseen: int) -> Usage | None:
        """`unseen`: what pictures and files may hold beyond what is counted for them."""
        usage = self.usage
        if usage is not None and self.agent:
            return usage if max(usage.prompt, usage.completion) <= HIDDEN else None
        if usage is None or usage.prompt > BELIEVABLE * input_estimate + SLACK + unseen:
            return None
        # Four times a count of a quarter token a character is one a character; reasoning may be hidden from us.
        if usage.output > sum(map(len, self.texts)) + SLACK:
            return None
        return None if usage.reasoning + usage.audio > HIDDEN else usage

    def _counted(self, fields: Fields) -> Usage:
        return Usage(
            input=count_request_exactly("", fields),
            output=count_tokens("", "".join(self.texts)),
            reasoning=count_tokens("", "".join(self.thoughts)),
            source=UsageSource.COUNTED,
        )


def unseen_in(fields: Fields) -> int:
    """Tokens that the pictures and files of a request may have besides those counted: a page of a file has thousands, a
    small picture tens of thousands at some vendors."""
    messages = bytes(fields.get("messages", b""))
    pictures = messages.count(b'"image_url"')
    files: int = len(messages) // 3 if b'"file_data"' in messages else 0
    return pictures * MOST_PER_PICTURE + files


_number = msgspec.json.Decoder(int | None)


def at_most(fields: Fields, input_estimate: int, longest: int | None, rates: Rates | None) -> int | None:
    """What an attempt may cost in the worst case, in nano-units; None when nobody knows the price."""
    if rates is None:
        return None
    output = asked_for(fields) or longest or DEFAULT_OUTPUT
    reserved: int = worst_case(input_estimate, output * choices_in(fields), rates)
    return reserved


def choices_in(fields: Fields) -> int:
    """How many answers the request wants."""
    return (_number.decode(fields["n"]) if "n" in fields else None) or 1


def asked_for(fields: Fields) -> int:
    """Tokens of the longest answer the request wants; nought when it leaves that open."""
    asked = [_number.decode(fields[name]) for name in ("max_completion_tokens", "max_tokens") if name in fields]
    return next(filter(None, asked), 0)


def currency_of(rates: Rates | None, *, sees_cost: bool) -> str:
    """The currency of what an attempt will cost; empty when neither a price nor the provider will say."""
    if rates is not None:
        return rates.currency
    return REPORTED_CURRENCY if sees_cost else ""


def status_of(error: BaseException | None, answering: bool) -> str:
    if error is None:
        return "ok"
    if isinstance(error, asyncio.CancelledError):
        return "cancelled"
    return "interrupted" if answering else "failed"


def _refused(error: BaseException) -> bool:
    if not isinstance(error, ProviderError):
        return False
    # A redirect, or a page in place of an error: whatever it says, no model has worked.
    turned_away = isinstance(error, InvalidAnswer) and (error.upstream_status or 0) >= 300
    return not error.sent or turned_away or isinstance(error, REFUSED)

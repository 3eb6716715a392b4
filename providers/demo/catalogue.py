"""Which models the pretend vendor serves: how fast each is, what it declares to cost, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from urllib.parse import parse_qsl

FREE = Decimal(0)


class Fault(StrEnum):
    """Everything that is known to go wrong at real vendors, and can be had here by asking for `fault-<name>`."""

    SLOW_START = "slow-start"
    SLOW_STREAM = "slow-stream"
    SILENT = "silent"
    STALL = "stall"
    CUT_MID_STREAM = "cut-mid-stream"
    EARLY_END = "early-end"
    NO_DONE = "no-done"
    RATE_LIMIT = "429"
    RATE_LIMIT_ONCE = "429-once"
    RATE_LIMIT_FOREVER = "429-forever"
    SERVER_ERROR = "500"
    OVERLOADED = "503"
    BAD_KEY = "401"
    UNKNOWN_MODEL = "404-model"
    FLAKY = "flaky"
    BAD_JSON = "bad-json"
    EMPTY = "empty"
    HTML = "html"
    HTML_IN_200 = "html-in-200"
    ERROR_IN_200 = "error-in-200"
    ERROR_FIRST_EVENT = "error-first-event"
    ERROR_MID_STREAM = "error-mid-stream"
    NO_USAGE = "no-usage"
    ABSURD_USAGE = "absurd-usage"
    CONTEXT_TOO_LONG = "context-too-long"
    CONTENT_FILTER = "content-filter"
    FILTERED_MID_ANSWER = "filtered-mid-answer"


@dataclass(frozen=True, slots=True)
class Model:
    """One model. Prices are declared per million tokens; a speed of 0 tokens per second means no waiting at all."""

    id: str
    name: str
    description: str
    first_token_seconds: float = 0.35
    tokens_per_second: float = 60.0
    input_price: Decimal = FREE
    cached_price: Decimal = FREE
    output_price: Decimal = FREE
    currency: str = "USD"
    fault: Fault | None = None
    reasons: bool = False
    embeds: bool = False
    exact_tokens: int | None = None  # an answer of exactly this length
    context: int = 131_072
    max_output: int = 16_384


def _faulty(fault: Fault, name: str, description: str, first: float = 0.1, speed: float = 120.0) -> Model:
    return Model(
        f"fault-{fault.value}", name, description, first_token_seconds=first, tokens_per_second=speed, fault=fault
    )


MODELS: dict[str, Model] = {
    model.id: model
    for model in (
        Model("relay-1", "Relay 1", "Everyday writing and code, at the pace of a good cloud model."),
        Model(
            "relay-1-mini", "Relay 1 mini", "Starts at once and writes faster than anyone reads.",
            first_token_seconds=0.04, tokens_per_second=400.0,
        ),
        Model(
            "relay-1-thinker", "Relay 1 thinker", "Thinks aloud before it answers; thoughts arrive as reasoning deltas.",
            first_token_seconds=0.5, tokens_per_second=90.0, reasons=True,
        ),
        Model(
            "relay-1-paid", "Relay 1 paid", "Relay 1 with declared prices, to watch costs and budgets at work.",
            input_price=Decimal("2.50"), cached_price=Decimal("0.25"), output_price=Decimal("10.00"),
        ),
        Model(
            "relay-1-embed", "Relay 1 embed", "Embeddings of 256 numbers: texts that share words lie close together.",
            first_token_seconds=0.02, tokens_per_second=0.0, embeds=True, context=8_192, max_output=0,
        ),
        Model(
            "custom", "Custom", "You choose: custom?ttft=200&tps=100&tokens=300&fault=stall (ms, tokens a second, length).",
        ),
        _faulty(Fault.SLOW_START, "Slow start", "Eight seconds of silence before the first token.", first=8.0),
        _faulty(Fault.SLOW_STREAM, "Slow stream", "Two tokens a second, to the very end.", speed=2.0),
        _faulty(Fault.SILENT, "Silent", "Takes the request, sends headers for a stream, then nothing."),
        _faulty(Fault.STALL, "Stall", "Writes a little, then falls silent with the connection open."),
        _faulty(Fault.CUT_MID_STREAM, "Cut mid-stream", "The connection breaks after a few words."),
        _faulty(Fault.EARLY_END, "Early end", "The stream ends politely in mid-sentence: no finish reason, no [DONE]."),
        _faulty(Fault.NO_DONE, "No [DONE]", "A whole answer whose stream lacks its last line."),
        _faulty(Fault.RATE_LIMIT, "Rate limited", "429 every time, with Retry-After: 1."),
        _faulty(Fault.RATE_LIMIT_ONCE, "Rate limited once", "429 with Retry-After: 1, then an answer when asked again."),
        _faulty(Fault.RATE_LIMIT_FOREVER, "Rate limited for a year", "429 with a Retry-After of a year."),
        _faulty(Fault.SERVER_ERROR, "Server error", "500, as an error object."),
        _faulty(Fault.OVERLOADED, "Overloaded", "503, as an error object."),
        _faulty(Fault.BAD_KEY, "Wrong key", "401: the key is not accepted, whatever it is."),
        _faulty(Fault.UNKNOWN_MODEL, "Withdrawn model", "404: listed, but gone when asked."),
        _faulty(Fault.FLAKY, "Flaky", "One request in three fails with 503; the same request always fares the same."),
        _faulty(Fault.BAD_JSON, "Bad JSON", "200 and JSON that stops half-way."),
        _faulty(Fault.EMPTY, "Empty", "200 and not a single byte of body."),
        _faulty(Fault.HTML, "HTML error page", "502 and a proxy's error page instead of JSON."),
        _faulty(Fault.HTML_IN_200, "HTML with 200", "200 and a web page, as from a hotel's sign-in portal."),
        _faulty(Fault.ERROR_IN_200, "Error in a 200", "200 whose body is an error object."),
        _faulty(Fault.ERROR_FIRST_EVENT, "Error as first event", "A stream whose first event is an error (plain: 503)."),
        _faulty(Fault.ERROR_MID_STREAM, "Error mid-stream", "A few words, then an error event (plain: 500)."),
        _faulty(Fault.NO_USAGE, "No usage", "A good answer that never says what it used."),
        _faulty(Fault.ABSURD_USAGE, "Absurd usage", "A good answer that claims billions of tokens."),
        _faulty(Fault.CONTEXT_TOO_LONG, "Too long", "400: whatever is asked, it is longer than the window."),
        _faulty(Fault.CONTENT_FILTER, "Content filter", "400: refused by the content filter before a word is written."),
        _faulty(Fault.FILTERED_MID_ANSWER, "Filtered mid-answer", "A few words, then finish_reason content_filter."),
    )
}  # fmt: skip


class WrongParameters(ValueError):
    """A `custom?...` name that cannot be built; the message says which part and what it may be."""


def find(name: str) -> Model | None:
    """The model of this name, or one built to order for `custom?ttft=200&tps=100&tokens=300&fault=stall`."""
    if name in MODELS:
        return MODELS[name]
    family, mark, wishes = name.partition("?")
    if family != "custom" or not mark:
        return None
    return _built_to_order(name, wishes)


def _built_to_order(name: str, wishes: str) -> Model:
    model = replace(MODELS["custom"], id=name)
    try:
        pairs = parse_qsl(wishes, strict_parsing=True, max_num_fields=8) if wishes else []
    except ValueError:
        raise WrongParameters(f"'{wishes}' is not a list of name=value pairs joined by '&'.") from None
    for key, value in pairs:
        match key:
            case "ttft":
                model = replace(model, first_token_seconds=_whole(key, value, 0, 60_000) / 1000)
            case "tps":
                model = replace(model, tokens_per_second=float(_whole(key, value, 0, 10_000)))
            case "tokens":
                model = replace(model, exact_tokens=_whole(key, value, 1, model.max_output))
            case "fault":
                model = replace(model, fault=_fault(value))
            case _:
                raise WrongParameters(f"'{key}' is not one of ttft, tps, tokens, fault.")
    return model


def _whole(key: str, value: str, low: int, high: int) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 6) or not low <= int(value) <= high:
        raise WrongParameters(f"'{key}' must be a whole number from {low} to {high}.")
    return int(value)


def _fault(value: str) -> Fault:
    if value not in list(Fault):
        raise WrongParameters(f"'fault' must be one of {', '.join(Fault)}.")
    return Fault(value)

"""What was asked and answered, kept where the API key or its team says so, and nowhere else.

`keeping` says whether a call is kept and gives what collects it; `Contents.keep` takes it when the call has ended. A
thread of its own seals it under the key ring and writes it in batches. Best effort: a call never waits for it, what
does not fit the queue is counted and let go, and what is too long is kept in part and says so. No header is ever kept.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
import orjson
from django.db import DatabaseError, InterfaceError

from billing.ids import started_at
from providers import vault
from providers.chat import ChatAnswer, Event, Fields, ReasoningDelta, TextDelta, ToolCallDelta
from routing.models import KeptContent
from routing.snapshot import TeamEntry
from routing.threads import with_fresh_connection

log = logging.getLogger(__name__)

LONGEST = 256 * 1024  # bytes of either side that are kept
DECODED = 1024 * 1024  # bytes of a question that is taken apart to be shortened; a longer one is cut as it stands
STEPS = (8000, 1000, 100)  # characters of each text in it, until the whole fits
MOST_WAITING, MOST_BYTES = 2000, 64 * 1024 * 1024
BATCH = 100
GATHER_SECONDS = 0.5  # how long others may join a batch
RETRY_SECONDS = 5.0  # after the database was away
CLOSE_SECONDS = 10.0

Place = tuple[str, str, str]


def keeping(own: bool | None, team: TeamEntry | None, model: str, fields: Fields) -> Kept | None:
    """`own` is what the key says; where it says nothing, its team decides."""
    keeps = own if own is not None else team is not None and team.keeps_content
    return Kept(model, fields) if keeps else None


@dataclass(slots=True)
class Kept:
    """One call's content while it goes on."""

    model: str  # as the client wrote it
    fields: Fields
    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    tools: dict[int, list[str]] = field(default_factory=dict)  # by index: name, then pieces of the arguments
    written: int = 0  # characters of the answer so far
    request_id: str = ""

    def take(self, events: Iterable[Event]) -> None:
        for event in events:
            if self.written > LONGEST:
                return  # the rest would be cut anyway
            if isinstance(event, TextDelta):
                self.texts.append(event.text)
                self.written += len(event.text)
            elif isinstance(event, ReasoningDelta):
                self.thoughts.append(event.text)
                self.written += len(event.text)
            elif isinstance(event, ToolCallDelta):
                pieces = self.tools.setdefault(event.index, [""])
                pieces[0] = pieces[0] or event.name
                pieces.append(event.arguments)
                self.written += len(event.name) + len(event.arguments)

    def take_answer(self, answer: ChatAnswer) -> None:
        self.take([TextDelta(answer.text), ReasoningDelta(answer.reasoning), *answer.tool_calls])

    @property
    def size(self) -> int:
        return sum(len(bytes(raw)) for raw in self.fields.values()) + self.written

    @property
    def answer(self) -> dict[str, Any]:
        told: dict[str, Any] = {"text": "".join(self.texts), "reasoning": "".join(self.thoughts)}
        told["tool_calls"] = [
            {"name": pieces[0], "arguments": "".join(pieces[1:])} for _, pieces in sorted(self.tools.items())
        ]
        return {name: value for name, value in told.items() if value}


class Contents:
    """What waits to be written. One a process; the thread is there once something was kept."""

    def __init__(self) -> None:
        self._waiting: deque[Kept] = deque()
        self._bytes = 0
        self._lock = threading.Lock()
        self._more = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self.dropped = 0

    def keep(self, kept: Kept, request_id: str) -> None:
        """The call has ended. Never waits."""
        kept.request_id = request_id
        size = kept.size
        with self._lock:
            if len(self._waiting) >= MOST_WAITING or self._bytes + size > MOST_BYTES or self._closing.is_set():
                self.dropped += 1
                return
            self._waiting.append(kept)
            self._bytes += size
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="contents", daemon=True)
                self._thread.start()
        self._more.set()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def close(self) -> None:
        """Write what waits, if that can be done soon. Blocks."""
        self._closing.set()
        self._more.set()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)

    def _work(self) -> None:
        while not (self._closing.is_set() and not self._waiting):
            self._more.wait()
            self._more.clear()
            self._closing.wait(GATHER_SECONDS)
            while self._waiting:
                if not self._write():
                    if self._closing.is_set():
                        self.dropped += len(self._waiting)
                        return
                    self._closing.wait(RETRY_SECONDS)

    def _write(self) -> bool:
        """Whether the database took a batch."""
        batch = [self._waiting[place] for place in range(min(BATCH, len(self._waiting)))]
        rows = [row for kept in batch if (row := _sealed(kept)) is not None]
        try:
            with_fresh_connection(lambda: KeptContent.objects.bulk_create(rows, ignore_conflicts=True))
        except (DatabaseError, InterfaceError) as error:
            log.warning("%d kept contents wait for the database: %s", len(self._waiting), error)
            return False
        with self._lock:
            for kept in batch:
                self._waiting.popleft()
                self._bytes -= kept.size
        return True


def _sealed(kept: Kept) -> KeptContent | None:
    request_id = kept.request_id
    try:
        asked, cut_asked = shortened({"model": msgspec.Raw(orjson.dumps(kept.model)), **kept.fields})
        answered, cut_answered = cut(kept.answer)
        return KeptContent(
            request_id=request_id,
            started_at=started_at(request_id),
            asked=vault.seal(asked, *place(request_id, "asked")),
            answered=vault.seal(answered, *place(request_id, "answered")),
            cut=cut_asked or cut_answered or kept.written > LONGEST,
        )
    except (ValueError, TypeError, RecursionError, msgspec.MsgspecError) as error:
        # A text that no encoder takes: half a surrogate pair, or JSON without an end to its depth. Its content stays
        # out of the log as well.
        log.warning("the content of %s is not kept: %s", request_id, type(error).__name__)
        return None


def place(request_id: str, side: str) -> Place:
    """What a sealed text is bound to."""
    return ("kept_content", request_id, side)


# -- no longer than that -----------------------------------------------------------------------


def shortened(fields: Fields) -> tuple[str, bool]:
    """The question as JSON, and whether something of it is missing."""
    whole = msgspec.json.encode(fields)
    if len(whole) <= LONGEST:
        return whole.decode("utf-8", "replace"), False
    if len(whole) <= DECODED:
        return cut(msgspec.json.decode(whole))
    share = LONGEST // 4  # a quotation mark takes two bytes as text of its own
    heads = msgspec.json.encode(
        {
            name: bytes(raw)[:share].decode("utf-8", "ignore") + "…" if len(bytes(raw)) > share else raw
            for name, raw in fields.items()
        }
    )
    if len(heads) > DECODED:
        heads = msgspec.json.encode({"text": whole[:share].decode("utf-8", "ignore") + "…"})
    return cut(msgspec.json.decode(heads))[0], True


def cut(value: Any) -> tuple[str, bool]:
    """As JSON, each text shortened until all of it fits."""
    whole = msgspec.json.encode(value)
    if len(whole) <= LONGEST:
        return whole.decode("utf-8", "replace"), False
    for longest in STEPS:
        small = msgspec.json.encode(_with_short_texts(value, longest))
        if len(small) <= LONGEST:
            return small.decode("utf-8", "replace"), True
    return msgspec.json.encode({"text": whole[: LONGEST // 2].decode("utf-8", "ignore") + "…"}).decode(), True


def _with_short_texts(value: Any, longest: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= longest else f"{value[:longest]}… ({len(value) - longest} characters more)"
    if isinstance(value, dict):
        return {name[:longest]: _with_short_texts(inner, longest) for name, inner in value.items()}
    if isinstance(value, list):
        return [_with_short_texts(inner, longest) for inner in value]
    return value


# -- reading ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Opened:
    """What was kept of a request."""

    fields: Mapping[str, Any]
    answer: Mapping[str, Any]
    cut: bool = False
    broken: bool = False  # sealed under a key that has left the ring


def opened(request_id: str) -> Opened | None:
    """None: nothing was kept."""
    row = KeptContent.objects.filter(request_id=request_id).first()
    if row is None:
        return None
    try:
        asked = vault.unseal(row.asked, *place(request_id, "asked"))
        answered = vault.unseal(row.answered, *place(request_id, "answered"))
    except (vault.SealBroken, ValueError):
        return Opened({}, {}, row.cut, broken=True)
    return Opened(_object(asked), _object(answered), row.cut)


def _object(text: str) -> Mapping[str, Any]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        found = {"text": text}
    return found if isinstance(found, dict) else {"text": text}


def served(before: datetime) -> Any:
    """Those whose time has ended."""
    return KeptContent.objects.filter(started_at__lt=before)

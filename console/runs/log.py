"""What a run has said so far, numbered from 1. Whoever listens reads from the number it has; nothing is queued for it.

A slow listener therefore costs nothing and loses nothing: it reads later, and more at a time. A frame is a plain dict:

    {"type": "delta", "text"}            a piece of the answer
    {"type": "block", "html", "tail"}    a closed Markdown block, and the text that is left behind it
    {"type": "stats", ...}               raw numbers so far
    {"type": "stopping"}                 nothing more will be written
    {"type": "end"}                      the answer is stored with its message
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

Frame = dict[str, Any]
Numbered = tuple[int, Frame]
Listener = Callable[[], None]


class Log:
    """The log of one run as this process has it: written here, or read from the table."""

    def __init__(self, run_id: str, *, after: int = 0) -> None:
        self.run_id = run_id
        self.ended = False
        self.listeners: set[Listener] = set()
        self._before = after  # frames up to this one are not held here
        self._frames: list[Frame] = []

    @property
    def last(self) -> int:
        return self._before + len(self._frames)

    def add(self, frame: Frame) -> int:
        self._frames.append(frame)
        if frame["type"] == "end":
            self.ended = True
        for listener in tuple(self.listeners):
            listener()
        return self.last

    def restart(self, after: int, frames: Iterable[Frame]) -> None:
        """Hold it from an earlier number on, for somebody who needs more of it. Whoever listens keeps their place."""
        self._before, self._frames = after, []
        for frame in frames:
            self.add(frame)

    def since(self, seq: int) -> list[Numbered]:
        start = max(0, seq - self._before)
        return list(enumerate(self._frames[start:], self._before + start + 1))

    def reaches(self, seq: int) -> bool:
        """Whether everything after `seq` is held here."""
        return seq >= self._before


def merged(frames: Iterable[Numbered]) -> list[Numbered]:
    """Neighbouring deltas as one, under the last one's number; of several stats only the last."""
    out: list[Numbered] = []
    for seq, frame in frames:
        before = out[-1][1] if out else None
        if before is None or before["type"] != frame["type"] or frame["type"] not in ("delta", "stats"):
            out.append((seq, frame))
        elif frame["type"] == "delta":
            out[-1] = seq, {"type": "delta", "text": before["text"] + frame["text"]}
        else:
            out[-1] = seq, frame
    return out


def text_of(frames: Iterable[Frame]) -> str:
    return "".join(frame["text"] for frame in frames if frame["type"] == "delta")


@dataclass
class SoFar:
    """What a page shows of a running answer: closed blocks, the open one as text, and where to go on reading."""

    seq: int = 0
    html: str = ""
    tail: str = ""
    stats: Frame = field(default_factory=dict)


def so_far(frames: Iterable[Numbered]) -> SoFar:
    found = SoFar()
    for seq, frame in frames:
        found.seq = seq
        match frame["type"]:
            case "delta":
                found.tail += frame["text"]
            case "block":
                found.html += frame["html"]
                found.tail = frame["tail"]
            case "stats":
                found.stats = frame
    return found

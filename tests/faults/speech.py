"""One wire as far as misbehaving needs it: what a vendor of it says when all is well, and how it says no.

Behaviours (`behaviours.py`) are written once, over a Speech; each wire's own is with its healthy bytes in
`tests/misbehaviour_<wire>.py`. What a wire says differently from the others is told there, in bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.upstream import Seen

WORDS = ("Hello", " from", " upstream", ".")
TEXT = "".join(WORDS)
COUNTED, UNCOUNTED, ABSURD = "counted", "uncounted", "absurd"  # what is said of the usage

# An answer of a tool's arguments that ended too soon, where arguments come in pieces.
CUT_ARGUMENTS = '{"city": "Ri'


@dataclass(frozen=True)
class Reply:
    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Speech:
    name: str  # begins the names of its models and providers
    kind: str
    secret: str  # as a person enters it
    hidden: tuple[str, ...]  # the parts of it that nobody may see again
    stream_type: str  # the content type of a stream
    is_streamed: Callable[[Seen], bool]
    bears_key: Callable[[Seen], bool]
    whole: Callable[[str], bytes]  # the plain answer, with this said of its usage
    opening: tuple[bytes, ...]  # of a stream, before its first word
    says: Callable[[str], bytes]
    closing: Callable[[str], tuple[bytes, ...]]  # after the last word, with this said of its usage
    # By cause: rate, server, key, forbidden, request, context, model; and the wait that a limit is said to take.
    refuses: Callable[[str, str], Reply]
    failures: Mapping[str, bytes]  # a body of 200 that is an error, by cause: overload, server
    failing: Mapping[str, bytes]  # the same as a piece of a stream
    filtered: tuple[Reply, tuple[bytes, ...] | None]  # plain, and streamed where that is a stream
    garbage: bytes  # a piece that cannot be decoded
    news: tuple[bytes, ...]  # pieces of sorts that nobody knows yet
    endless: bytes  # how a piece begins that never ends
    odd: bytes  # the whole stream, as legal as it is unusual
    call: tuple[bytes, ...]  # a stream with a call of a tool
    arguments: str  # what the client is to get of that call
    options: Mapping[str, Any] = field(default_factory=dict)
    root: str = ""  # of its address

    @property
    def words(self) -> tuple[bytes, ...]:
        return tuple(self.says(word) for word in WORDS)

    @property
    def begun(self) -> tuple[bytes, ...]:
        """Of a stream, until some of its text has come."""
        return (*self.opening, *self.words[:2])

    def stream(self, usage: str = COUNTED) -> tuple[bytes, ...]:
        return (*self.opening, *self.words, *self.closing(usage))

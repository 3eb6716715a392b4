"""What a vendor can do wrong, whatever wire it speaks: one function a behaviour, over its Speech.

Numbers in the comments are those of the fault matrix in docs/reliability.md.
"""

from __future__ import annotations

import gzip
from collections.abc import Awaitable, Callable, Iterable

from tests.faults.speech import ABSURD, COUNTED, UNCOUNTED, Reply, Speech
from tests.upstream import Exchange

PIECE = b"x" * (256 * 1024)
PAGE = b"<html><head><title>502 Bad Gateway</title></head><body><h1>secret-proxy-7</h1></body></html>"
HALF = b'{"id": '
BOMB = gzip.compress(b" " * (64 * 1024 * 1024), 1)


class Talk:
    """A request being answered in its own wire."""

    def __init__(self, it: Exchange, speech: Speech, elsewhere: str) -> None:
        self.it = it
        self.speech = speech
        self.elsewhere = elsewhere  # the address of somebody who must never hear of it
        self.streamed = speech.is_streamed(it.seen)

    async def begin(self, length: int = 100_000) -> None:
        """The head: of a stream, or of a body so long."""
        if self.streamed:
            await self.it.head(200, self.speech.stream_type, transfer_encoding="chunked")
        else:
            await self.it.head(200, content_length=str(length))

    async def piece(self, data: bytes) -> None:
        await (self.it.chunk(data) if self.streamed else self.it.raw(data))

    async def stream(self, pieces: Iterable[bytes]) -> None:
        await self.it.head(200, self.speech.stream_type, transfer_encoding="chunked")
        for piece in pieces:
            await self.it.chunk(piece)
        await self.it.chunk(b"")

    async def reply(self, reply: Reply) -> None:
        await self.it.whole(reply.body, reply.status, **reply.headers)

    async def either(self, plain: bytes, pieces: Iterable[bytes]) -> None:
        await (self.stream(pieces) if self.streamed else self.it.whole(plain))

    async def half(self) -> None:
        """What comes before something breaks: some text of a stream, the beginning of a body."""
        await self.begin()
        await self.piece(b"".join(self.speech.begun) if self.streamed else self.speech.whole(COUNTED)[:50])


Behaviour = Callable[[Talk], Awaitable[None]]

BEHAVIOURS: dict[str, Behaviour] = {}


def behaviour(function: Behaviour) -> Behaviour:
    BEHAVIOURS[function.__name__.strip("_").replace("_", "-")] = function
    return function


# -- as it should be, or nearly ----------------------------------------------------------------


@behaviour
async def ok(talk: Talk) -> None:
    await talk.either(talk.speech.whole(COUNTED), talk.speech.stream())


@behaviour
async def no_usage(talk: Talk) -> None:  # F28
    await talk.either(talk.speech.whole(UNCOUNTED), talk.speech.stream(UNCOUNTED))


@behaviour
async def absurd_usage(talk: Talk) -> None:  # F28
    await talk.either(talk.speech.whole(ABSURD), talk.speech.stream(ABSURD))


@behaviour
async def odd_framing(talk: Talk) -> None:  # F29
    """As it may be written, and cut after every byte."""
    odd = talk.speech.odd
    await talk.stream(odd[at : at + 1] for at in range(len(odd)))


@behaviour
async def unknown_types(talk: Talk) -> None:  # F18
    speech = talk.speech
    known = speech.stream()
    half = len(speech.begun)
    await talk.either(speech.whole(COUNTED), (*known[:half], *speech.news, *known[half:]))


@behaviour
async def tools(talk: Talk) -> None:  # F32
    await talk.stream(talk.speech.call)


@behaviour
async def stream_for_plain(talk: Talk) -> None:  # F22
    await talk.it.whole(b"".join(talk.speech.stream()), 200, talk.speech.stream_type)


@behaviour
async def plain_for_stream(talk: Talk) -> None:  # F22
    await talk.it.whole(talk.speech.whole(COUNTED))


@behaviour
async def stale(talk: Talk) -> None:  # F31
    """Answers the first request of a connection, and breaks it when the second one comes."""
    if talk.it.seen.number > 1:
        talk.it.reset()
        return
    await ok(talk)


# -- before an answer ----------------------------------------------------------------------------


@behaviour
async def resets(talk: Talk) -> None:  # F02
    talk.it.reset()


@behaviour
async def closes(talk: Talk) -> None:  # F02
    talk.it.keep_alive = False


@behaviour
async def silent(talk: Talk) -> None:  # F03
    await talk.it.for_ever()


@behaviour
async def headers_only(talk: Talk) -> None:  # F04
    await talk.begin()
    await talk.it.for_ever()


@behaviour
async def opens_only(talk: Talk) -> None:  # F04
    """Signs of life that are no answer yet."""
    await talk.begin()
    for piece in talk.speech.opening:
        await talk.it.chunk(piece)
    await talk.it.for_ever()


@behaviour
async def drips_headers(talk: Talk) -> None:  # F33
    await talk.it.raw(b"HTTP/1.1 200 OK\r\n")
    while True:
        await talk.it.raw(b"x-drop: 1\r\n")
        await talk.it.pause(0.1)


@behaviour
async def continues(talk: Talk) -> None:  # F30
    """Informational answers without end."""
    while True:
        await talk.it.raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 5)
        await talk.it.pause(0.02)


# -- in the middle -------------------------------------------------------------------------------


@behaviour
async def stalls(talk: Talk) -> None:  # F05
    await talk.half()
    await talk.it.for_ever()


@behaviour
async def drips(talk: Talk) -> None:  # F06
    await talk.begin()
    for piece in talk.speech.opening if talk.streamed else ():
        await talk.it.chunk(piece)
    while True:
        await talk.piece(talk.speech.says("drop ") if talk.streamed else b" ")
        await talk.it.pause(0.1)


@behaviour
async def cuts(talk: Talk) -> None:  # F15
    await talk.half()
    talk.it.keep_alive = False


@behaviour
async def cuts_at_once(talk: Talk) -> None:  # F15
    await talk.begin()
    talk.it.keep_alive = False


@behaviour
async def ends_early(talk: Talk) -> None:  # F21
    await talk.either(talk.speech.whole(COUNTED)[:60], talk.speech.begun)


@behaviour
async def undecodable_first(talk: Talk) -> None:  # F18
    await talk.either(HALF, [talk.speech.garbage])


@behaviour
async def undecodable_later(talk: Talk) -> None:  # F18
    await talk.either(HALF, [*talk.speech.begun, talk.speech.garbage, *talk.speech.closing(COUNTED)])


@behaviour
async def error_first(talk: Talk) -> None:  # F19
    await talk.either(talk.speech.failures["overload"], [talk.speech.failing["overload"]])


@behaviour
async def error_later(talk: Talk) -> None:  # F20
    speech = talk.speech
    await talk.either(speech.failures["server"], [*speech.begun, speech.failing["server"], *speech.closing(COUNTED)])


# -- answers that are none -------------------------------------------------------------------------


def refusing(cause: str, wait: str = "") -> Behaviour:
    async def refuse(talk: Talk) -> None:
        await talk.reply(talk.speech.refuses(cause, wait))

    return refuse


BEHAVIOURS |= {
    "limited-briefly": refusing("rate", "1"),  # F07
    "limited": refusing("rate"),  # F08
    "limited-for-ever": refusing("rate", "31536000"),  # F09
    "fails": refusing("server"),  # F10
    "key-refused": refusing("key"),  # F12
    "forbidden": refusing("forbidden"),  # F12
    "bad-request": refusing("request"),  # F13
    "too-long": refusing("context"),  # F13
    "no-such-model": refusing("model"),  # F14
}


@behaviour
async def filtered(talk: Talk) -> None:  # F13
    plain, pieces = talk.speech.filtered
    await (talk.stream(pieces) if talk.streamed and pieces is not None else talk.reply(plain))


@behaviour
async def page(talk: Talk) -> None:  # F11
    await talk.it.whole(PAGE, 502, "text/html")


@behaviour
async def page_of_200(talk: Talk) -> None:  # F22
    await talk.it.whole(PAGE, 200, "text/html")


@behaviour
async def half_json(talk: Talk) -> None:  # F16
    await talk.it.whole(talk.speech.whole(COUNTED)[:40])


@behaviour
async def empty(talk: Talk) -> None:  # F16
    await talk.it.whole(b"")


@behaviour
async def error_200(talk: Talk) -> None:  # F17
    await talk.it.whole(talk.speech.failures["overload"])


@behaviour
async def redirects(talk: Talk) -> None:  # F27
    await talk.it.whole(b"", 302, location=talk.elsewhere)


@behaviour
async def redirects_whole(talk: Talk) -> None:  # F27
    """With its method, its body and what else there is."""
    await talk.it.whole(b"", 307, location=talk.elsewhere)


@behaviour
async def bomb(talk: Talk) -> None:  # F24
    await talk.it.whole(BOMB, content_encoding="gzip")


# -- too much of it ----------------------------------------------------------------------------------


@behaviour
async def huge_body(talk: Talk) -> None:  # F23
    size = 200 * 1024 * 1024
    await talk.begin(size)
    for _ in range(size // len(PIECE)):
        await talk.it.raw(b" " * len(PIECE))


@behaviour
async def huge_piece(talk: Talk) -> None:  # F23
    await talk.begin()
    await talk.it.chunk(talk.speech.endless)
    while True:
        await talk.it.chunk(PIECE)


@behaviour
async def huge_stream(talk: Talk) -> None:  # F23
    await talk.begin()
    said = talk.speech.says("word " * 200_000)
    for piece in (*talk.speech.opening, *([said] * 200)):
        await talk.it.chunk(piece)


# -- what is no HTTP ---------------------------------------------------------------------------------


@behaviour
async def many_headers(talk: Talk) -> None:  # F30
    await talk.it.whole(talk.speech.whole(COUNTED), **{f"x_flood_{n}": "y" * 100 for n in range(2000)})


@behaviour
async def long_header(talk: Talk) -> None:  # F30
    await talk.it.whole(talk.speech.whole(COUNTED), x_flood="y" * 100_000)


@behaviour
async def bad_chunk(talk: Talk) -> None:  # F30
    await talk.begin()
    for piece in talk.speech.opening:
        await talk.it.chunk(piece)
    await talk.it.pause(0.05)
    await talk.it.raw(b"zz\r\nnot a chunk\r\n")
    talk.it.keep_alive = False


@behaviour
async def not_http(talk: Talk) -> None:  # F30
    await talk.it.raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    talk.it.keep_alive = False

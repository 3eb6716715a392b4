"""What an answer on the wire may look like, however it is cut up, and where the bounds are."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.connection import FIELD_BYTES, HEAD_BYTES, LARGE, MOST_HEADERS, Broken, Garbled
from providers.pieces import HIGH_WATER
from providers.pool import MOST_RESTING, Pool
from tests.providers.wire import Wire, answered, connected, cut, run, turn

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=1\r\nlo\r\n0\r\n\r\n"
TRAILER = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n"
CLOSES = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nhello"
OLD = b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"
LAST = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + LENGTH
NOTHING = b"HTTP/1.1 204 No Content\r\nX-Empty:\r\nX-More: yes\r\n\r\n"
SPOKEN_OF = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"
TWICE = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 5\r\n\r\nhello"

ANSWERS = [
    # answer, status, body, some headers, whether the connection can be used again
    pytest.param(LENGTH, 200, b"hello", {"content-type": "text/plain"}, True, id="content-length"),
    pytest.param(CHUNKS, 200, b"hello", {}, True, id="chunked"),
    pytest.param(TRAILER, 200, b"hello", {"x-sum": None}, True, id="trailer"),
    pytest.param(CLOSES, 200, b"hello", {}, False, id="until-close"),
    pytest.param(OLD, 200, b"hello", {}, False, id="http-1.0"),
    pytest.param(LAST, 200, b"hello", {}, False, id="connection-close"),
    pytest.param(INTERIM, 200, b"hello", {"link": None}, True, id="interim"),
    pytest.param(NOTHING, 204, b"", {"x-empty": "", "x-more": "yes"}, True, id="204"),
    pytest.param(TWICE, 200, b"hello", {"x-a": "1, 2"}, True, id="twice"),
]


@pytest.mark.parametrize(("answer", "status", "body", "headers", "again"), ANSWERS)
@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.integers(0, 1000), max_size=12))
def test_an_answer_is_the_same_however_it_is_cut(
    answer: bytes, status: int, body: bytes, headers: dict[str, str | None], again: bool, cuts: list[int]
) -> None:
    async def test(pool: Pool) -> None:
        connection, wire = connected(pool)
        came = await answered(connection, wire, cut(answer, cuts), ends=not again)
        assert (connection.status, came) == (status, body)
        assert {name: connection.headers.get(name) for name in headers} == headers
        assert connection.is_eof()
        connection.let_go(True)
        assert (pool.take(connection.where) is connection) is again

    run(test)


def test_an_answer_cut_after_every_byte() -> None:
    async def test(pool: Pool) -> None:
        connection, wire = connected(pool)
        for answer in (LENGTH, CHUNKS, INTERIM, TRAILER) * 2:  # one after another on the same connection
            pieces = [answer[at : at + 1] for at in range(len(answer))]
            assert await answered(connection, wire, pieces) == b"hello"
            connection.let_go(True)
            assert pool.take(connection.where) is connection

    run(test)


def test_the_answer_to_head_has_no_body() -> None:
    async def test(pool: Pool) -> None:
        connection, wire = connected(pool)
        assert await answered(connection, wire, [SPOKEN_OF], method="HEAD") == b""
        assert connection.headers["content-length"] == "500"

    run(test)


# -- what is none ---------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(
    start=st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", CHUNKS[:60], LENGTH[:40], INTERIM[:30], CHUNKS[:52]]),
    junk=st.binary(max_size=200),
    cuts=st.lists(st.integers(0, 300), max_size=6),
)
def test_whatever_comes_ends_in_an_answer_or_in_one_of_two_errors(start: bytes, junk: bytes, cuts: list[int]) -> None:
    async def test(pool: Pool) -> None:
        connection, wire = connected(pool)
        try:
            await answered(connection, wire, cut(start + junk, cuts), ends=True)
        except (Broken, Garbled):
            pass
        await turn()
        assert wire.closed
        assert len(pool) == 0

    run(test)


FLOODS = [
    pytest.param(b"HTTP/1.1 200 OK\r\nx: " + b"y" * FIELD_BYTES, b"\r\n", id="long-header"),
    pytest.param(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n" * MOST_HEADERS, id="many-headers"),
    pytest.param(b"HTTP/1.1 200 " + b"O" * HEAD_BYTES, b"K", id="long-reason"),
    pytest.param(b"HTTP/1.1 200 OK\r\nx: ", b"y" * HEAD_BYTES, id="endless-header"),
    pytest.param(b"\r\n" * HEAD_BYTES, b"\r\n", id="empty-lines"),
    pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", b"\r\n", id="not-http"),
    pytest.param(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n", b"\r\n", id="upgrade"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n", b"\r\n", id="two-lengths"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n", b"\r\n", id="negative-length"),
]


@pytest.mark.parametrize(("begins", "goes_on"), FLOODS)
def test_a_head_that_is_none(begins: bytes, goes_on: bytes) -> None:
    async def test(pool: Pool) -> None:
        connection, wire = connected(pool)
        with pytest.raises(Garbled):
            await answered(connection, wire, [begins, goes_on, goes_on])
        assert wire.closed

    run(test)


@pytest.mark.parametrize("flood", [b"x: " + b"y" * 3000 + b"\r\n", b"z" * 3000], ids=["trailers", "one-trailer"])
def test_what_follows_a_body_has_bounds(flood: bytes) -> None:
    async def test(pool: Pool) -> None:
        connection, wire = connected(pool)
        begin = CHUNKS.removesuffix(b"\r\n")
        with pytest.raises(Garbled):
            await answered(connection, wire, [begin, *[flood] * 200])
        assert wire.closed

    run(test)


def test_an_extension_of_a_chunk_has_bounds() -> None:
    async def test(pool: Pool) -> None:
        connection, wire = connected(pool)
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;"
        with pytest.raises(Garbled):
            await answered(connection, wire, [head, *[b"x" * 9000] * 20])

    run(test)


def test_what_came_before_the_connection_broke_is_read_first() -> None:
    async def test(pool: Pool) -> None:
        connection, wire = connected(pool)
        asyncio.get_running_loop().call_soon(connection.data_received, LENGTH[:-2])
        await connection.ask("POST", b"", b"")
        wire.abort()
        await turn()
        assert await connection.readany() == b"hel"
        with pytest.raises(Broken) as caught:
            await connection.readany()
        assert caught.value.begun

    run(test)


@pytest.mark.parametrize("came", [b"", b"HTTP/1.1 2"])
def test_whether_anything_of_an_answer_came(came: bytes) -> None:
    async def test(pool: Pool) -> None:
        connection, wire = connected(pool)
        with pytest.raises(Broken) as caught:
            await answered(connection, wire, [came] if came else [], ends=True)
        assert caught.value.begun is bool(came)

    run(test)


def test_a_connection_that_broke_before_it_was_asked() -> None:
    async def test(pool: Pool) -> None:
        connection, wire = connected(pool)
        wire.abort()
        await turn()
        with pytest.raises(Broken) as caught:
            await connection.ask("POST", b"", b"")
        assert not caught.value.begun

    run(test)


def test_a_server_that_speaks_first_is_not_listened_to() -> None:
    async def test(pool: Pool) -> None:
        connection, wire = connected(pool)
        connection.data_received(LENGTH)
        assert wire.closed
        await turn()
        with pytest.raises(Broken):
            await connection.ask("POST", b"", b"")

    run(test)


# -- using it again -----------------------------------------------------------------------


@pytest.mark.parametrize("more", [b"HTTP/1.1 200 OK\r\n", LENGTH, b"\0", b"hello"])
def test_more_than_one_answer_to_a_question_ends_the_connection(more: bytes) -> None:
    """Else it would be taken for the answer to the next one."""

    async def test(pool: Pool) -> None:
        connection, wire = connected(pool)
        assert await answered(connection, wire, [LENGTH + more]) == b"hello"
        connection.let_go(True)
        assert pool.take(connection.where) is None
        await turn()
        assert wire.closed
        other, wire = connected(pool)
        await answered(other, wire, [LENGTH])
        other.let_go(True)
        other.data_received(more)
        assert pool.take(other.where) is None
        await turn()
        assert len(pool) == 0

    run(test)


@pytest.mark.parametrize("read", ["nothing", "the head", "some"])
def test_what_was_not_answered_to_the_end_is_closed(read: str) -> None:
    async def test(pool: Pool) -> None:
        connection, wire = connected(pool)
        asking = asyncio.ensure_future(connection.ask("POST", b"", b""))
        await turn()
        if read == "nothing":
            asking.cancel()
            await asyncio.wait({asking})
        else:
            connection.data_received(LENGTH[: -5 if read == "the head" else -2])
            await asking
            connection.let_go(False)
        assert wire.closed
        assert pool.take(connection.where) is None

    run(test)


def test_a_body_nobody_read_is_not_found_by_who_asks_next() -> None:
    async def test(pool: Pool) -> None:
        connection, wire = connected(pool)
        asyncio.get_running_loop().call_soon(connection.data_received, LENGTH)
        await connection.ask("POST", b"", b"")
        connection.let_go(True)
        again = pool.take(connection.where)
        assert again is connection
        assert await answered(again, wire, [LENGTH.replace(b"hello", b"world")]) == b"world"

    run(test)


def test_who_came_last_goes_first_and_who_waited_too_long_is_closed() -> None:
    async def test(pool: Pool) -> None:
        made = [connected(pool) for _ in range(3)]
        for connection, wire in made:
            await answered(connection, wire, [LENGTH])
            connection.let_go(True)
        made[0][0].rested_at -= 31
        assert pool.take(made[0][0].where) is made[2][0]
        assert pool.take(("another.example", 80, False)) is None
        assert pool.take(made[0][0].where) is made[1][0]
        assert pool.take(made[0][0].where) is None
        assert [wire.closed for _, wire in made] == [True, False, False]
        made[1][0].let_go(True)
        made[1][0].rested_at -= 31
        pool._sweep()
        await turn()
        assert made[1][1].closed
        assert len(pool) == 1

    run(test)


def test_no_more_rest_than_may() -> None:
    async def test(pool: Pool) -> None:
        made = [connected(pool) for _ in range(MOST_RESTING + 2)]
        for connection, wire in made:
            await answered(connection, wire, [LENGTH])
            connection.let_go(True)
        assert [wire.closed for _, wire in made] == [False] * MOST_RESTING + [True] * 2
        await turn()
        assert len(pool) == MOST_RESTING

    run(test)


def test_a_pool_that_is_closed_keeps_nothing() -> None:
    async def test(pool: Pool) -> None:
        (one, first), (other, second) = connected(pool), connected(pool)
        for connection, wire in ((one, first), (other, second)):
            await answered(connection, wire, [LENGTH])
        one.let_go(True)
        pool.close()
        other.let_go(True)
        await turn()
        assert (first.closed, second.closed, len(pool)) == (True, True, 0)

    run(test)


# -- pressure -------------------------------------------------------------------------------


def test_a_slow_reader_stops_the_provider() -> None:
    async def test(pool: Pool) -> None:
        connection, wire = connected(pool)
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
        asyncio.get_running_loop().call_soon(connection.data_received, head)
        await connection.ask("POST", b"", b"")
        connection.data_received(b"x" * HIGH_WATER)
        assert wire.reading
        connection.data_received(b"x")
        assert not wire.reading
        assert len(await connection.readany()) == HIGH_WATER + 1
        assert wire.reading

    run(test)


async def asking(pool: Pool, body: bytes) -> tuple[Any, Wire, asyncio.Future[None]]:
    connection, wire = connected(pool, takes=LARGE)
    asked = asyncio.ensure_future(connection.ask("POST", b"", body))
    await turn()
    return connection, wire, asked


def test_a_large_body_goes_out_as_fast_as_it_is_taken() -> None:
    async def test(pool: Pool) -> None:
        body = bytes(range(256)) * (LARGE // 64)
        connection, wire, asked = await asking(pool, body)
        assert LARGE < len(wire.written) < len(body)
        wire.take()
        await turn()
        assert wire.written == body
        connection.data_received(LENGTH)
        await asked
        connection.let_go(True)
        assert pool.take(connection.where) is connection

    run(test)


def test_an_answer_before_the_end_of_a_large_body_stops_it() -> None:
    async def test(pool: Pool) -> None:
        connection, wire, asked = await asking(pool, b"x" * (4 * LARGE))
        connection.data_received(LENGTH)
        await asked
        assert len(wire.written) < 4 * LARGE
        assert await connection.readany() == b"hello"
        connection.let_go(True)
        assert wire.closed  # half a request stands on it

    run(test)


def test_an_answer_before_the_end_of_a_small_body_ends_the_connection() -> None:
    """What is still on its way out would stand before the next question."""

    async def test(pool: Pool) -> None:
        connection, wire = connected(pool, takes=10)
        asked = asyncio.ensure_future(connection.ask("POST", b"head", b"x" * 100))
        await turn()
        connection.data_received(LENGTH)
        await asked
        assert await connection.readany() == b"hello"
        connection.let_go(True)
        assert wire.closed
        assert pool.take(connection.where) is None

    run(test)


def test_a_connection_that_breaks_under_a_large_body() -> None:
    async def test(pool: Pool) -> None:
        _, wire, asked = await asking(pool, b"x" * (4 * LARGE))
        wire.abort()
        with pytest.raises(Broken):
            await asked

    run(test)

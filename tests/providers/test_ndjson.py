"""Lines cut anywhere say the same, and nothing grows without bound."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.errors import TooLarge
from providers.ndjson import LineDecoder
from tests.providers.talk import cut


def read(pieces: list[bytes], *, limit: int = 10_000) -> list[bytes]:
    decoder = LineDecoder(limit)
    return [line for piece in pieces for line in decoder.feed(piece)] + decoder.close()


LINE = st.binary(max_size=12).map(lambda data: data.replace(b"\n", b"").strip())


@given(
    st.lists(LINE, max_size=6),
    st.sampled_from([b"\n", b"\r\n", b"\n\n", b" \n"]),
    st.booleans(),
    st.lists(st.integers(0, 500), max_size=8),
)
def test_any_ending_in_any_pieces_says_the_same(
    said: list[bytes], ending: bytes, last: bool, places: list[int]
) -> None:
    data = ending.join(said) + (ending if last else b"")
    lines = [line for line in said if line]
    assert read([data]) == lines
    assert read(cut(data, places)) == lines
    assert read([bytes([byte]) for byte in data]) == lines


@given(st.lists(st.binary(max_size=30), max_size=8))
def test_no_bytes_break_it(pieces: list[bytes]) -> None:
    assert read(pieces) == read([b"".join(pieces)])


@pytest.mark.parametrize(
    "pieces",
    [[b"x" * 101], [b"x" * 101 + b"\n"], [b"x" * 60, b"x" * 60 + b"\n"], [b"a\n" + b"x" * 101], [b"x" * 10] * 11],
)
def test_a_line_that_is_too_long(pieces: list[bytes]) -> None:
    with pytest.raises(TooLarge, match="100 bytes"):
        read(pieces, limit=100)


def test_as_long_as_may_be() -> None:
    whole = b"x" * 100
    assert read([whole[:50], whole[50:], b"\n", whole], limit=100) == [whole, whole]


def test_no_more_is_held_than_one_line() -> None:
    decoder = LineDecoder(1000)
    for _ in range(2000):
        assert decoder.feed(b"x" * 400) == []
        assert len(decoder.feed(b"y" * 400 + b"\n")[0]) == 800
    assert decoder.close() == []

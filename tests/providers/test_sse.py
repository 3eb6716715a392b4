"""Any legal framing, cut anywhere, says the same; and nothing grows without bound."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.errors import TooLarge
from providers.sse import EventDecoder, framed
from tests.providers.talk import cut


def read(pieces: list[bytes], *, limit: int = 10_000) -> list[bytes]:
    decoder = EventDecoder(limit)
    told = [event for piece in pieces for event in decoder.feed(piece)] + decoder.close()
    return [data for data, _ in told if data is not None]


ENDING = st.sampled_from([b"\n", b"\r\n", b"\r"])
LINE = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=12).map(str.encode)
EXTRAS = [b": note", b"id: 3", b"retry: 10", b"event: message", b"odd"]
SAYS = st.lists(LINE, min_size=1, max_size=3).map(b"\n".join).filter(lambda data: data != b"")


@st.composite
def written(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """A stream in some legal framing, and what it says."""
    said = draw(st.lists(SAYS, max_size=5))
    out = draw(st.sampled_from([b"", b"\xef\xbb\xbf"]))
    for data in said:
        ending = draw(ENDING)
        # One space after the colon is no part of the value, so a value that begins with one needs it.
        bare = draw(st.booleans())
        lines = [(b"data:" if bare and line[:1] != b" " else b"data: ") + line for line in data.split(b"\n")]
        for extra in draw(st.lists(st.sampled_from(EXTRAS), max_size=2)):
            lines.insert(draw(st.integers(0, len(lines))), extra)
        out += b"".join(line + ending for line in lines) + ending
    return out, said


@given(written(), st.lists(st.integers(0, 5000), max_size=12))
def test_any_framing_in_any_pieces_says_the_same(stream: tuple[bytes, list[bytes]], places: list[int]) -> None:
    data, said = stream
    assert read([data]) == said
    assert read(cut(data, places)) == said
    assert read([bytes([byte]) for byte in data]) == said


@given(st.lists(SAYS, max_size=6), st.sampled_from([b"\n", b"\r\n", b"\r"]), st.lists(st.integers(0, 500), max_size=6))
def test_what_is_said_is_what_is_read(said: list[bytes], ending: bytes, places: list[int]) -> None:
    data = b"".join(framed(one) for one in said).replace(b"\n", ending)
    assert read(cut(data, places)) == said


@given(st.lists(SAYS, max_size=6), st.lists(st.integers(0, 500), max_size=6))
def test_frames_say_the_same_again(said: list[bytes], places: list[int]) -> None:
    decoder = EventDecoder()
    frames = [frame for piece in cut(b"".join(map(framed, said)), places) for _, frame in decoder.feed(piece)]
    assert read(frames) == said


def test_a_plain_frame_passes_as_the_very_bytes_that_came() -> None:
    frame = b'data: {"a": 1}\n\n'
    assert EventDecoder().feed(frame * 2) == [(b'{"a": 1}', frame)] * 2


def test_comments_are_told_and_say_nothing() -> None:
    assert EventDecoder().feed(b": keep-alive\n\n") == [(None, b"")]


def test_an_event_of_an_unknown_name_is_told_like_a_comment_unless_it_is_json() -> None:
    assert EventDecoder().feed(b"event: ping\ndata: now\n\n") == [(None, b"")]
    assert EventDecoder().feed(b'event: chunk\ndata: {"a":1}\n\n') == [(b'{"a":1}', b'data: {"a":1}\n\n')]


def test_the_name_of_one_event_is_not_that_of_the_next() -> None:
    assert read([b"event: ping\ndata: now\n\ndata: then\n\n"]) == [b"then"]


def test_an_event_without_its_last_line_is_told_at_the_end() -> None:
    assert read([b"data: [DONE]"]) == [b"[DONE]"]


def test_a_mark_in_two_pieces_is_no_part_of_the_first_event() -> None:
    assert read([b"\xef", b"\xbb", b"\xbfdata: a\n\n"]) == [b"a"]


@pytest.mark.parametrize("piece", [1, 7, 1000])
@pytest.mark.parametrize(
    "endless", [b"data: " + b"x" * 5000, b"data: x\n" * 2000, b"x" * 5000], ids=["line", "lines", "no-field"]
)
def test_what_never_ends_is_refused_at_the_limit(endless: bytes, piece: int) -> None:
    decoder = EventDecoder(limit=1000)

    def feed() -> None:
        for at in range(0, len(endless), piece):
            decoder.feed(endless[at : at + piece])

    with pytest.raises(TooLarge):
        feed()


def test_many_small_events_in_one_piece_are_all_told() -> None:
    assert len(EventDecoder(limit=100).feed(b"data: x\n\n" * 10_000)) == 10_000


def test_a_long_line_in_small_pieces_takes_time_in_proportion() -> None:
    """Joining what came so far with each piece would take minutes."""
    decoder = EventDecoder(limit=4_000_000)
    decoder.feed(b"data: ")
    for _ in range(300_000):
        decoder.feed(b"0123456789")
    assert decoder.feed(b"\n\n") == [(b"0123456789" * 300_000, framed(b"0123456789" * 300_000))]

"""Whatever a provider sends, cut wherever the network likes: no exception but ours, and never more memory than allowed.

Every decoder of a stream gets real streams in pieces, real streams with holes and rubbish in them, and rubbish alone.
"""

from __future__ import annotations

import json
import tracemalloc
from functools import lru_cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.adapters import ADAPTERS, adapter_for
from providers.chat import Event
from providers.errors import ProviderError
from providers.registry import KINDS, Kind
from providers.sse import EVENT_BYTES
from providers.wiring import Target
from tests.cloud import framed
from tests.providers.talk import SECRET, asks, cut

RECORDINGS = Path(__file__).parent.parent / "recordings"

CASES = 10_000  # in all
# One kind for each way of speaking: the first row of a wire, and the one that needs no mark at the end.
KINDS_HERE = [
    *{kind.wire: kind for kind in reversed(KINDS.values()) if kind.wire in ADAPTERS}.values(),
    KINDS["custom"],
]
EACH = -(-CASES // (2 * len(KINDS_HERE)))

SIGNS = [b"", b"data: ", b"\n\n", b"{", b"[", b"[DONE]", b"\xef\xbb\xbf", b"\x00\x00\x00\x30"]

quick = settings(max_examples=EACH, deadline=None, derandomize=True, database=None)


@lru_cache
def streams(wire: str) -> list[bytes]:
    """What was recorded of this wire; where nothing was, a stream of the OpenAI wire is rubbish as good as any."""
    files = sorted((RECORDINGS / wire).glob("*.*")) or sorted((RECORDINGS / "openai").glob("*.sse"))
    told = []
    for file in files:
        if file.suffix == ".events":
            told.append(b"".join(framed(file.read_bytes())))
        elif file.suffix in (".sse", ".ndjson", ".jsonl", ".txt", ".json") and "request" not in file.name:
            told.append(file.read_bytes())
    return told


def played(kind: Kind, data: bytes, places: list[int]) -> list[Event]:
    """Raises only what a provider may be blamed for."""
    to = Target(1, "house", kind, "https://vendor.example", "m", secret=SECRET, options={"region": "eu-west-1"})
    decoder = adapter_for(kind).decoder(asks(stream=True), to)
    events: list[Event] = []
    try:
        for piece in cut(data, places):
            events += decoder.feed(piece)
        events += decoder.close()
    except ProviderError:
        pass
    return events


# One number says where to cut, in steps of twelve bits: cheaper to draw than a list of numbers.
cuts = st.integers(0, 2**72 - 1)


def places_of(number: int) -> list[int]:
    return [number >> shift & 0xFFF for shift in range(0, 72, 12)]


@pytest.mark.parametrize("kind", KINDS_HERE, ids=[kind.slug for kind in KINDS_HERE])
@quick
@given(cuts=cuts, hole=cuts, rubbish=st.binary(max_size=12))
def test_streams_with_holes_and_rubbish_in_them(kind: Kind, cuts: int, hole: int, rubbish: bytes) -> None:
    told = streams(kind.wire.value)
    which, at, length, *_ = places_of(hole)
    data = told[which % len(told)]
    start = at % (len(data) + 1)
    played(kind, data[:start] + rubbish + data[start + length % 40 :], places_of(cuts))


@pytest.mark.parametrize("kind", KINDS_HERE, ids=[kind.slug for kind in KINDS_HERE])
@quick
@given(sign=st.sampled_from(SIGNS), rubbish=st.binary(max_size=80), cuts=cuts)
def test_rubbish(kind: Kind, sign: bytes, rubbish: bytes, cuts: int) -> None:
    played(kind, sign + rubbish, places_of(cuts))


ODD = [None, True, 0, -1, 1e308, "", "x", [], {}, [None], {"a": {}}, [[]], "\ud83d\ude00"]
SHAPES = st.recursive(
    st.sampled_from(ODD),
    lambda inner: st.dictionaries(
        st.sampled_from(
            "id choices delta content message tool_calls function arguments usage error type index".split()
        ),
        inner | st.lists(inner, max_size=2),
        max_size=4,
    ),
    max_leaves=8,
)


@pytest.mark.parametrize("kind", KINDS_HERE, ids=[kind.slug for kind in KINDS_HERE])
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(shape=SHAPES)
def test_json_of_any_shape(kind: Kind, shape: object) -> None:
    text = json.dumps(shape).encode()
    played(kind, b"data: " + text + b"\n\n", [])
    played(kind, text + b"\n", [])


@pytest.mark.parametrize("kind", KINDS_HERE, ids=[kind.slug for kind in KINDS_HERE])
@pytest.mark.parametrize(
    "beginning", [b"", b"data: ", b"{", b"\x00\x7f\xff\xff"], ids=["nothing", "event", "json", "frame"]
)
def test_memory_is_bounded(kind: Kind, beginning: bytes) -> None:
    """An event without an end is given up at the bound, whatever it begins with."""
    to = Target(1, "house", kind, "https://vendor.example", "m", secret=SECRET, options={"region": "eu-west-1"})
    decoder = adapter_for(kind).decoder(asks(stream=True), to)
    piece = b"x" * (64 * 1024)
    tracemalloc.start()
    try:
        decoder.feed(beginning)
        for _ in range(4 * EVENT_BYTES // len(piece)):
            decoder.feed(piece)
    except ProviderError:
        pass  # as it should be; a decoder that just waits for the end must not keep what it was given
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 4 * EVENT_BYTES

"""What an attempt is billed as: what the provider said, where that can be, else what we counted."""

from __future__ import annotations

import msgspec
import pytest

from providers.chat import ChatAnswer, Usage
from routing.settlement import HIDDEN, Tally

FIELDS = {"messages": msgspec.Raw(b'[{"role": "user", "content": "Hello"}]')}


@pytest.mark.parametrize(
    ("usage", "billed"),
    [
        (Usage(input=9, output=3), "provider"),
        (Usage(input=9, output=3, reasoning=HIDDEN), "provider"),
        (Usage(input=9, output=3, reasoning=HIDDEN + 1), "counted"),
        (Usage(input=9, output=3, audio=10**15), "counted"),
        (Usage(input=10**6, output=3), "counted"),
        (Usage(input=9, output=10**6), "counted"),
        (None, "counted"),
    ],
)
def test_absurd_numbers_are_not_believed(usage: Usage | None, billed: str) -> None:
    tally = Tally()
    tally.take_answer(ChatAnswer(text="Hello there.", usage=usage))
    assert tally.outcome(None, FIELDS, 9, None).billed == billed

"""A model's Markdown: safe whatever it writes, and the same whether it comes whole or in pieces."""

from __future__ import annotations

import random
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.markdown import LONGEST_TAIL, Blocks, rendered

SAMPLE = """# Title

A paragraph with **bold**, `code` and a [link](https://example.org/a "t").
Its second line.

- one
- two

  still two

1. first

```python
print("<hello>")

# not a heading
```

| a | b |
|---|--:|
| 1 | 2 |

> said
lazily

    indented

~~gone~~

***

The end
"""


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "![x](https://tracker.example/a.png)",
        "<a href='javascript:alert(1)'>x</a>",
        '```"><script>alert(1)</script>\nx\n```',
        "<style>body{display:none}</style>",
        "<iframe src='https://example.org'></iframe>",
        "[x](/accounts/logout/)",
        "<form action='/x'><button name=a>x</button></form>",
    ],
)
def test_nothing_that_acts_survives(hostile: str) -> None:
    tags = re.findall(r"<[^>]*>", rendered(hostile).lower())
    assert tags
    for tag in tags:
        assert re.fullmatch(r"</?(p|div|pre|code|span|header|button|a)( [^>]*)?>", tag), tag
        assert not re.search(r"onerror|javascript:|data:|src=|href=\"/|style=", tag), tag


def test_an_image_becomes_a_link_that_nobody_follows_unasked() -> None:
    html = rendered("![A chart](https://example.org/chart.png)")
    assert 'href="https://example.org/chart.png"' in html
    assert ">A chart</a>" in html
    assert 'rel="noopener noreferrer nofollow"' in html


def test_headings_stand_below_the_headings_of_the_page() -> None:
    assert rendered("# One\n\n###### Six") == "<h3>One</h3>\n<h6>Six</h6>\n"


def test_code_has_its_language_and_a_button() -> None:
    html = rendered("```python\nx < 1\n```")
    assert "<span>python</span>" in html
    assert "copy-code" in html
    assert "x &lt; 1" in html


def test_a_block_is_given_out_when_nothing_can_change_it() -> None:
    blocks = Blocks()
    assert blocks.feed("First para") is None
    assert blocks.feed("graph\n") is None  # the next line may belong to it
    assert blocks.feed("\n") == "<p>First paragraph</p>\n"
    assert blocks.feed("- a\n\n") is None  # a list may go on
    assert blocks.feed("- b\n") is None
    assert "<li>" in (blocks.feed("\nNot a list\n") or "")
    assert blocks.tail == "Not a list\n"


def test_half_a_line_decides_nothing() -> None:
    blocks = Blocks()
    assert blocks.feed("text\n#") is None
    assert blocks.feed("hashtag\n\n") == "<p>text\n#hashtag</p>\n"


def test_an_open_fence_keeps_its_blank_lines() -> None:
    blocks = Blocks()
    assert blocks.feed("```\na\n\n\nb\n") is None
    assert "a\n\n\nb\n" in (blocks.feed("```\n") or "")
    assert blocks.tail == ""


def test_a_link_defined_in_an_earlier_block_is_known() -> None:
    blocks = Blocks()
    blocks.feed("[here]: https://example.org\n\nRead\n\n")
    assert 'href="https://example.org"' in (blocks.feed("See [here].\n\n") or "")


@pytest.mark.parametrize("seed", range(20))
def test_pieces_give_what_the_whole_gives(seed: int) -> None:
    cut = random.Random(seed)
    blocks, html, rest = Blocks(), "", SAMPLE
    while rest:
        size = cut.randint(1, 12)
        html += blocks.feed(rest[:size]) or ""
        rest = rest[size:]
    assert _even(html + rendered(blocks.tail)) == _even(rendered(SAMPLE))


@given(st.text(alphabet="ab #*-`>1.|\n\t[]()!<&", max_size=80))
def test_no_character_is_lost_or_doubled(text: str) -> None:
    blocks, closed = Blocks(), 0
    for letter in text:
        before = len(blocks.tail) + 1
        if blocks.feed(letter) is not None:
            closed += before - len(blocks.tail)
    assert closed + len(blocks.tail) == len(text)
    assert text.endswith(blocks.tail)


def test_one_endless_block_is_not_parsed_again_and_again() -> None:
    blocks, began = Blocks(), time.process_time()
    for _ in range(LONGEST_TAIL // 10 + 50):
        assert blocks.feed("- an item\n") is None
    assert len(blocks.tail) > LONGEST_TAIL
    assert time.process_time() - began < 1


@pytest.mark.parametrize("line", ["- item\n", "1. item\n", "> said\n", "| a | b |\n", "    code\n"])
def test_a_long_block_is_closed_by_what_follows_it(line: str) -> None:
    blocks = Blocks()
    blocks.feed(line + ("|---|---|\n" if "|" in line else ""))
    for _ in range(100):
        assert blocks.feed(line) is None
    assert blocks.feed("\n") is None or "|" in line
    html = blocks.feed("After it\n\n") or ""
    assert html.endswith("<p>After it</p>\n")
    assert blocks.tail == ""


def _even(html: str) -> str:
    return html.replace("\n", "")

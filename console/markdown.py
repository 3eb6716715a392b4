"""A model's Markdown as HTML that is safe to show, whole or block by block while it is still being written.

Models are hostile authors: HTML in the source is text, what is rendered is sanitised once more, images become links.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import nh3
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

LONGEST_TAIL = 20_000  # characters of one open block; a longer one is shown as it came until the answer ends

TAGS = {
    *("p", "br", "hr", "h3", "h4", "h5", "h6", "blockquote", "ul", "ol", "li"),
    *("strong", "em", "s", "a", "code", "pre"),
    *("table", "thead", "tbody", "tr", "th", "td"),
    *("div", "header", "span", "button"),
}
ATTRIBUTES: dict[str, set[str]] = {
    "a": {"href", "title", "target"},
    "ol": {"start"},
    "button": {"type", "class"},
    "div": {"class", "tabindex", "role"},
    "pre": {"tabindex"},
    "table": {"class"},
    "td": {"class"},
    "th": {"class"},
    "span": {"class"},
}
CLASSES_OF_ALIGNMENT = {"text-align:left": "", "text-align:center": "mid", "text-align:right": "n"}


class _Renderer(RendererHTML):
    """Where a conversation differs from a page: headings stand below the page's own, code can be copied, no images."""

    def heading_open(self, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
        return f"<{_lowered(tokens[index].tag)}>"

    def heading_close(self, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
        return f"</{_lowered(tokens[index].tag)}>\n"

    def link_open(self, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
        tokens[index].attrSet("target", "_blank")
        return self.renderToken(tokens, index, options, env)

    def image(self, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
        """An image of somebody else's server would tell it who reads this: the reader decides."""
        token = tokens[index]
        words = self.renderInlineAsText(token.children or [], options, env) or _("image")
        return f'<a href="{escape(token.attrGet("src") or "")}" target="_blank">{escape(words)}</a>'

    def fence(self, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
        token = tokens[index]
        language = token.info.strip().split(" ")[0][:30]
        return (
            f'<div class="code"><header><span>{escape(language) or escape(_("Text"))}</span>'
            f'<button type="button" class="btn ghost sm push copy-code">{escape(_("Copy"))}</button></header>'
            f'<pre tabindex="0"><code>{escape(token.content)}</code></pre></div>\n'
        )

    def code_block(self, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
        return self.fence(tokens, index, options, env)

    def table_open(self, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
        return '<div class="tbl-wrap" tabindex="0" role="region"><table class="tbl">'

    def table_close(self, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
        return "</table></div>\n"

    def th_open(self, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
        return _cell("th", tokens[index])

    def td_open(self, tokens: Sequence[Token], index: int, options: Any, env: Any) -> str:
        return _cell("td", tokens[index])


def _lowered(tag: str) -> str:
    return f"h{min(6, int(tag[1]) + 2)}"


def _cell(tag: str, token: Token) -> str:
    name = CLASSES_OF_ALIGNMENT.get(str(token.attrGet("style") or ""), "")
    return f'<{tag} class="{name}">' if name else f"<{tag}>"


_markdown = MarkdownIt("commonmark", {"html": False}, renderer_cls=_Renderer).enable(["table", "strikethrough"])
_outline = MarkdownIt("commonmark", {"html": False}).enable("table").disable("inline")  # where blocks begin, no more


def rendered(text: str) -> SafeString:
    """A whole text."""
    return _rendered(text, {})


def _rendered(text: str, env: dict[str, Any]) -> SafeString:
    html = nh3.clean(
        _markdown.render(text, env),
        tags=TAGS,
        attributes=ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        url_relative="deny",
        link_rel="noopener noreferrer nofollow",
    )
    return mark_safe(html)  # noqa: S308 - it was sanitised a line ago


# Lines that an open block goes on with. While only such lines come there is nothing to parse: a long list costs little.
GOES_ON = {
    "fence": re.compile(r"(?! {0,3}(```|~~~))"),
    "bullet_list_open": re.compile(r"\s*$|  |[-*+] "),
    "ordered_list_open": re.compile(r"\s*$|  |\d{1,9}[.)] "),
    "blockquote_open": re.compile(r" {0,3}>"),
    "table_open": re.compile(r".*\|"),
    "code_block": re.compile(r"\s*$|    |\t"),
}


class Blocks:
    """Markdown that arrives in pieces. `feed` gives the HTML of what can no longer change; `tail` is the rest, as text.

    Only whole lines are judged: half a line may still turn into something else ("#" is a heading, "#hash" is not).
    """

    def __init__(self) -> None:
        self.tail = ""
        self._env: dict[str, Any] = {}  # link definitions seen so far
        self._judged = 0  # characters of the tail whose lines were looked at
        self._open = ""  # the kind of block they end in

    def feed(self, text: str) -> SafeString | None:
        self.tail += text
        if "\n" not in text or len(self.tail) > LONGEST_TAIL:
            return None
        end = self.tail.rindex("\n") + 1
        fresh, self._judged = self.tail[self._judged : end - 1], end
        goes_on = GOES_ON.get(self._open)
        if goes_on is not None and all(goes_on.match(line) for line in fresh.split("\n")):
            return None
        lines = self.tail[: end - 1].split("\n")
        count, self._open = _closed(_outline.parse("\n".join(lines)), lines)
        if not count:
            return None
        closed = "".join(line + "\n" for line in lines[:count])
        self.tail = self.tail[len(closed) :]
        self._judged = end - len(closed)
        return _rendered(closed, self._env)


def _closed(tokens: Sequence[Token], lines: list[str]) -> tuple[int, str]:
    """How many lines belong to top-level blocks that nothing can change any more, and what kind of block is open."""
    blocks = [token for token in tokens if token.level == 0 and token.map and token.nesting >= 0]
    if not blocks or blocks[-1].map is None:
        return 0, ""
    start, end = blocks[-1].map
    if not _is_finished(blocks[-1], lines[start:], end - start):
        return start, blocks[-1].type
    while end < len(lines) and not lines[end].strip():
        end += 1
    return end, ""


def _is_finished(block: Token, lines: list[str], length: int) -> bool:
    match block.type:
        case "heading_open" | "hr":
            return True
        case "fence":
            closing = lines[length - 1].strip() if length > 1 else ""
            return len(closing) >= len(block.markup) and set(closing) == {block.markup[0]}
        case "paragraph_open" | "table_open":
            return length < len(lines)  # what follows is a blank line
    return False  # a list, a quote or indented code may go on after a blank line

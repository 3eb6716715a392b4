"""Where the words of a Gemini answer come from: pages it searched, and texts it repeats. Places are in bytes there."""

from __future__ import annotations

import msgspec

from providers.chat import Citation


class _Web(msgspec.Struct):
    uri: str = ""
    title: str = ""


class _Chunk(msgspec.Struct):
    web: _Web | None = None
    retrievedContext: _Web | None = None


class _Segment(msgspec.Struct):
    startIndex: int = 0
    endIndex: int = 0
    text: str = ""


class _Support(msgspec.Struct):
    segment: _Segment | None = None
    groundingChunkIndices: list[int] | None = None


class Grounding(msgspec.Struct):
    groundingChunks: list[_Chunk] | None = None
    groundingSupports: list[_Support] | None = None


class _Repeated(msgspec.Struct):
    uri: str = ""
    title: str = ""
    startIndex: int = 0
    endIndex: int = 0


class CitationMetadata(msgspec.Struct):
    citationSources: list[_Repeated] | None = None
    citations: list[_Repeated] | None = None


class Sources:
    """Collected over the pieces of an answer: numbers of chunks count through all of them."""

    __slots__ = ("_chunks", "_repeated", "_supports", "_texts")

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._chunks: list[_Chunk] = []
        self._supports: list[_Support] = []
        self._repeated: list[_Repeated] = []

    def add(self, text: str) -> None:
        self._texts.append(text)

    def ground(self, told: Grounding) -> None:
        self._chunks += told.groundingChunks or ()
        self._supports += told.groundingSupports or ()

    def cite(self, told: CitationMetadata) -> None:
        self._repeated += told.citationSources or told.citations or ()

    def found(self) -> list[Citation]:
        """Each once, those with a place in the text first."""
        if not (self._chunks or self._repeated):
            return []
        text = "".join(self._texts)
        data = text.encode("utf-8", "surrogatepass")
        cited: list[Citation] = []
        placed: set[int] = set()
        for support in self._supports:
            start, end = _place(support.segment, text, data)
            for number in support.groundingChunkIndices or ():
                if 0 <= number < len(self._chunks):
                    placed.add(number)
                    cited += _page(self._chunks[number], start, end)
        for number, chunk in enumerate(self._chunks):
            if number not in placed:
                cited += _page(chunk)
        for one in self._repeated:
            if one.uri:
                start, end = _place(_Segment(one.startIndex, one.endIndex), text, data)
                cited.append(Citation(one.uri, one.title, start, end))
        return list(dict.fromkeys(cited))


def _page(chunk: _Chunk, start: int | None = None, end: int | None = None) -> list[Citation]:
    """Only what somebody can follow."""
    page = chunk.web or chunk.retrievedContext
    return [Citation(page.uri, page.title, start, end)] if page is not None and page.uri else []


def _place(segment: _Segment | None, text: str, data: bytes) -> tuple[int | None, int | None]:
    """In characters. The segment's own words decide where there is a doubt: its bytes are counted within one part."""
    if segment is None:
        return None, None
    if 0 <= segment.startIndex < segment.endIndex <= len(data):
        start = _characters(data[: segment.startIndex])
        end = start + _characters(data[segment.startIndex : segment.endIndex])
        if not segment.text or text[start:end] == segment.text:
            return start, end
    start = text.find(segment.text) if segment.text else -1
    return (start, start + len(segment.text)) if start >= 0 else (None, None)


def _characters(data: bytes) -> int:
    return len(data.decode("utf-8", "ignore"))

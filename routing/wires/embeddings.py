"""Embeddings as OpenAI's clients ask for them: bytes to texts, vectors to bytes.

Vectors are written as soon as they come: a row of numbers in memory is five times as long as its text.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import orjson

from providers.chat import Usage
from routing.wires.openai import Malformed, parse_object

MOST_TEXTS = 2_048
KNOWN_FIELDS = frozenset({"model", "input", "encoding_format", "dimensions", "user"})
FLOAT, BASE64 = "float", "base64"


class ParsedEmbeddings(msgspec.Struct, frozen=True):
    texts: list[str]
    model: str
    encoding: str = FLOAT
    dimensions: int | None = None
    user: str = ""


_text = msgspec.json.Decoder(str | None)
_dimensions = msgspec.json.Decoder(Annotated[int, msgspec.Meta(ge=1, le=2**16)] | None)


def parse_embeddings(body: bytes) -> ParsedEmbeddings:
    fields = parse_object(body)
    unknown = sorted(fields.keys() - KNOWN_FIELDS)
    if unknown:
        raise Malformed(f"Unknown parameter: '{unknown[0][:100]}'.", param=unknown[0][:100], code="unknown_parameter")
    if "input" not in fields:
        raise Malformed("'input' is required.", param="input", code="missing_required_parameter")
    encoding = _field(fields, "encoding_format", _text) or FLOAT
    if encoding not in (FLOAT, BASE64):
        raise Malformed("'encoding_format' is float or base64.", param="encoding_format", code="invalid_value")
    return ParsedEmbeddings(
        _texts(fields["input"]),
        _field(fields, "model", _text) or "",
        encoding,
        _field(fields, "dimensions", _dimensions),
        _field(fields, "user", _text) or "",
    )


def _field(fields: dict[str, msgspec.Raw], name: str, decoder: msgspec.json.Decoder[Any]) -> Any:
    raw = fields.get(name)
    if raw is None:
        return None
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        said = str(error)
        raise Malformed(f"'{name}': {said[0].lower()}{said[1:]}.", param=name, code="invalid_type") from None
    except (msgspec.DecodeError, RecursionError):
        raise Malformed(f"'{name}' is not valid JSON.", param=name, code="invalid_json") from None


def _texts(raw: msgspec.Raw) -> list[str]:
    try:
        given = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        raise Malformed("'input' is not valid JSON.", param="input", code="invalid_json") from None
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list):
        raise Malformed("'input' must be a text or a list of texts.", param="input", code="invalid_type")
    if not texts:
        raise Malformed("'input' needs at least one text.", param="input", code="empty_array")
    if len(texts) > MOST_TEXTS:
        said = f"'input' takes at most {MOST_TEXTS:,} texts, and there are {len(texts):,}."
        raise Malformed(said, param="input", code="array_above_max_length")
    for number, text in enumerate(texts):
        if isinstance(text, int | list):
            said = "'input' takes texts, not tokens: the same numbers are other words to another model."
            raise Malformed(said, param="input", code="tokens_not_supported")
        if not isinstance(text, str):
            raise Malformed(f"'input[{number}]' must be a text.", param=f"input[{number}]", code="invalid_type")
        if not text:
            raise Malformed(f"'input[{number}]' is empty.", param=f"input[{number}]", code="empty_string")
    return texts


def written(vector: Sequence[float], encoding: str) -> bytes:
    """One vector as JSON. Raises ValueError for what is no vector: nothing, or numbers without end."""
    if not vector or not math.isfinite(sum(vector)):
        raise ValueError("no numbers")
    if encoding == BASE64:
        try:
            data = struct.pack(f"<{len(vector)}f", *vector)
        except OverflowError as error:
            raise ValueError(str(error)) from None
        return b'"%s"' % base64.b64encode(data)
    return orjson.dumps(vector)


def answer_of(vectors: Sequence[bytes], model: str, usage: Usage) -> bytes:
    rows = [
        b'{"object":"embedding","index":%d,"embedding":%s}' % (index, vector) for index, vector in enumerate(vectors)
    ]
    tokens = {"prompt_tokens": usage.prompt, "total_tokens": usage.total}
    return b'{"object":"list","data":[%s],"model":%s,"usage":%s}' % (
        b",".join(rows),
        orjson.dumps(model),
        orjson.dumps(tokens),
    )

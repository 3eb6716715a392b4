"""A value that fits a JSON schema, made of the asker's own words where a text is wanted.

It covers what people write for tools and structured answers; a keyword it does not know is ignored.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from providers.demo.draw import Draw

Schema = dict[str, Any]
_DEEPEST = 12
_MOST_ITEMS = 50
_LONGEST_TEXT = 2_000

_FORMATS = {
    "date": "2026-03-14",
    "date-time": "2026-03-14T09:30:00Z",
    "time": "09:30:00Z",
    "duration": "PT45M",
    "email": "camille@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.10",
    "ipv6": "2001:db8::10",
    "uri": "https://example.com/",
    "uuid": "6f1c2d34-0a5b-4c6d-8e7f-90a1b2c3d4e5",
}
_BY_NAME = (
    (re.compile(r"mail"), ("camille@example.com",)),
    (re.compile(r"city|ville|location|place|town|stadt|ciudad"), ("Lyon", "Porto", "Bremen", "Ghent", "Trieste")),
    (re.compile(r"country|pays|land|pais"), ("France", "Portugal", "Germany", "Belgium", "Italy")),
    (re.compile(r"currency|devise"), ("EUR", "USD", "CHF")),
    (re.compile(r"date|day|jour"), ("2026-03-14", "2026-05-02", "2026-09-21")),
    (re.compile(r"time|heure"), ("09:30", "14:00", "18:45")),
    (re.compile(r"lang"), ("en", "fr", "de", "es")),
    (re.compile(r"url|link|href"), ("https://example.com/",)),
    (re.compile(r"phone|tel"), ("+33 1 99 00 12 34",)),
    (re.compile(r"colou?r|couleur"), ("teal", "amber", "slate blue")),
    (re.compile(r"unit"), ("celsius",)),
    (re.compile(r"(^|_)id$|uuid"), ("A-1042", "A-2718", "A-3141")),
    (re.compile(r"name|nom|author|person"), ("Camille Laurent", "Ada Moreau", "Jonas Weber", "Inés Vidal")),
    (re.compile(r"title|titre|subject|headline"), ("A calm start", "Three small steps", "What changed this week")),
)


@dataclass(frozen=True, slots=True)
class Maker:
    """Fits values to one root schema, whose `$defs` its parts may point to."""

    root: Schema
    draw: Draw
    words: str  # the asker's, already safe to repeat
    proper: str = ""  # a name found among them: "What is the weather in Nantes?"
    note: str = ""  # says what this is, for the first text that is free

    def value(self) -> Any:
        return self._fit(self.root, "", 0)

    def _fit(self, schema: Any, path: str, depth: int) -> Any:
        if not isinstance(schema, dict) or depth > _DEEPEST * 2:
            return None
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return self._choice(schema["enum"], path)
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((one for one in kind if one != "null"), "null")
        kind = kind or _implied(schema)
        match kind:
            case "object":
                return self._object(schema, path, depth)
            case "array":
                return self._array(schema, path, depth)
            case "integer":
                return int(self._number(schema, path, whole=True))
            case "number":
                return self._number(schema, path, whole=False)
            case "boolean":
                return bool(self.draw.below(2, path))
            case "null":
                return None
            case _:
                return self._text(schema, path)

    def _resolved(self, schema: Schema) -> Schema:
        """The schema without indirections: references followed, the first alternative taken, parts merged."""
        for _ in range(_DEEPEST):
            target = schema.get("$ref")
            options = schema.get("anyOf") or schema.get("oneOf")
            parts = schema.get("allOf")
            if isinstance(target, str):
                schema = self._pointed(target)
            elif isinstance(options, list) and options:
                useful = [one for one in options if isinstance(one, dict) and one.get("type") != "null"]
                rest = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf")}
                schema = {**rest, **(useful[0] if useful else {"type": "null"})}
            elif isinstance(parts, list) and parts:
                schema = _merged(schema, [self._resolved(part) for part in parts if isinstance(part, dict)])
            else:
                break
        return schema

    def _pointed(self, target: str) -> Schema:
        place: Any = self.root
        for step in target.removeprefix("#").strip("/").split("/"):
            if step:
                name = step.replace("~1", "/").replace("~0", "~")
                place = place.get(name) if isinstance(place, dict) else None
        return place if isinstance(place, dict) else {}

    def _choice(self, options: list[Any], path: str) -> Any:
        said = self.words.lower()
        named = [one for one in options if isinstance(one, str) and one and one.lower() in said]
        return named[0] if named else self.draw.pick(options, path)

    def _object(self, schema: Schema, path: str, depth: int) -> dict[str, Any]:
        fields = schema.get("properties")
        fields = fields if isinstance(fields, dict) else {}
        required = schema.get("required")
        required = required if isinstance(required, list) else []
        # Below some depth only what must be there: a schema that contains itself has to end.
        wanted = [name for name in fields if depth < 4 or name in required]
        wanted += [name for name in required if isinstance(name, str) and name not in fields]
        return {name: self._fit(fields.get(name, {}), f"{path}.{name}", depth + 1) for name in wanted}

    def _array(self, schema: Schema, path: str, depth: int) -> list[Any]:
        least = _whole(schema.get("minItems"), 0)
        most = _whole(schema.get("maxItems"), max(least, 3))
        size = min(max(least, min(most, 3 if depth < 4 else 0)), _MOST_ITEMS)
        items = schema.get("items")
        return [self._fit(items if items is not None else {}, f"{path}[{at}]", depth + 1) for at in range(size)]

    def _number(self, schema: Schema, path: str, *, whole: bool) -> float:
        step = _numeric(schema.get("multipleOf")) or (1 if whole else 0.5)
        low = _numeric(schema.get("minimum"))
        high = _numeric(schema.get("maximum"))
        above, below = _numeric(schema.get("exclusiveMinimum")), _numeric(schema.get("exclusiveMaximum"))
        if above is not None:
            low = above + step if low is None else max(low, above + step)
        if below is not None:
            high = below - step if high is None else min(high, below - step)
        if low is None:
            low = 1 if high is None or high >= 1 else high - 10 * step
        high = low + 40 * step if high is None else high
        first = -(-low // step)  # the first multiple inside the bounds
        room = max(int(high // step - first), 0)
        found = (first + self.draw.below(room + 1, path)) * step
        return min(max(found, low), high)

    def _text(self, schema: Schema, path: str) -> str:
        given = schema.get("default") or next(iter(schema.get("examples") or ()), None)
        if isinstance(given, str):
            return given
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        text = self._fitting_text(path.rsplit(".", 1)[-1].lower(), path)
        least = min(_whole(schema.get("minLength"), 0), _LONGEST_TEXT)
        while len(text) < least:
            text = f"{text} {text}" if text else "demonstration"
        return text[: _whole(schema.get("maxLength"), _LONGEST_TEXT)]

    def _fitting_text(self, name: str, path: str) -> str:
        for pattern, values in _BY_NAME:
            if pattern.search(name):
                place = "city" in pattern.pattern or "name" in pattern.pattern
                return self.proper if place and self.proper else self.draw.pick(values, path)
        if self.note and re.search(r"note|answer|summary|text|content|description|reason|explan|message|comment", name):
            return self.note
        return self.words or "demonstration"


def _implied(schema: Schema) -> str:
    if "properties" in schema or "required" in schema:
        return "object"
    if "items" in schema:
        return "array"
    return "number" if "minimum" in schema or "maximum" in schema else "string"


def _merged(schema: Schema, parts: list[Schema]) -> Schema:
    whole = {key: value for key, value in schema.items() if key != "allOf"}
    for part in parts:
        properties = {**(whole.get("properties") or {}), **(part.get("properties") or {})}
        required = [*(whole.get("required") or []), *(part.get("required") or [])]
        whole = {**whole, **part}
        if properties:
            whole["properties"] = properties
        if required:
            whole["required"] = required
    return whole


def _numeric(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _whole(value: Any, otherwise: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else otherwise


_PROPER = re.compile(r"(?<=[a-zà-ÿ,] )[A-ZÀ-Þ][\w'’-]+(?: [A-ZÀ-Þ][\w'’-]+)*")


def proper_name(text: str) -> str:
    """The first name in a sentence, told by its capital letter."""
    found = _PROPER.search(text)
    return found.group() if found else ""

"""From the text of a file to plain values, or to the line where it stops being YAML or JSON.

YAML is read as its version 1.2 has it: `no` and `on` are words, `12:30` is a text, a date is a text, a number with a
point is exact. Mappings remember keys that were written twice, which both formats would pass over in silence.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any

import yaml

from console.configuration.values import Fault, FileRefused

MOST_BYTES = 4 * 1024 * 1024
MOST_VALUES = 200_000  # anchors can make a small file enormous
DEEPEST = 32
HALF = re.compile("[\ud800-\udfff]")  # JSON can write one, alone


class Table(dict[str, Any]):
    """A mapping of the file, and the keys that stand in it more than once."""

    def __init__(self) -> None:
        super().__init__()
        self.repeated: list[str] = []

    def put(self, key: str, value: Any) -> None:
        if key in self:
            self.repeated.append(key)
        self[key] = value


def read(content: bytes, name: str = "") -> Any:
    """The values of a file. JSON by its name or its first character, otherwise YAML."""
    if len(content) > MOST_BYTES:
        raise _refused(f"the file is longer than {MOST_BYTES:,} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _refused(f"the file is not UTF-8: byte {error.start}") from None
    is_json = name.lower().endswith(".json") or text.lstrip()[:1] in ("{", "[")
    if name.lower().endswith((".yaml", ".yml")):
        is_json = False
    tree = _read_json(text) if is_json else _read_yaml(text)
    _bound(tree)
    return tree


def _read_json(text: str) -> Any:
    try:
        return json.loads(
            text, object_pairs_hook=_table, parse_float=Decimal, parse_int=_whole, parse_constant=_constant
        )
    except json.JSONDecodeError as error:
        raise _refused(f"line {error.lineno}, column {error.colno}: {error.msg} (JSON)") from None
    except RecursionError:
        raise _refused("the file is nested too deeply") from None
    except ValueError as error:
        raise _refused(str(error)) from None


def _table(pairs: list[tuple[str, Any]]) -> Table:
    table = Table()
    for key, value in pairs:
        table.put(key, value)
    return table


def _whole(text: str) -> int:
    if len(text) > 40:
        raise ValueError(f"the number {text[:20]}… is too long")
    return int(text)


def _constant(text: str) -> Any:
    raise ValueError(f"{text} is no number that JSON knows")


class _Loader(yaml.SafeLoader):
    """Only what YAML 1.2's core schema resolves: null, true and false, numbers. Everything else is text."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


# What is a number when nobody quotes it; the writer of files quotes a text that looks like one.
_WHOLE = re.compile(r"[-+]?[0-9]{1,40}")
POINT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")
for _tag, _pattern, _first in (
    ("null", re.compile(r"(~|null|Null|NULL)?"), ["~", "n", "N", ""]),
    ("bool", re.compile(r"true|True|TRUE|false|False|FALSE"), list("tTfF")),
    ("int", _WHOLE, list("-+0123456789")),
    ("float", POINT, list("-+.0123456789")),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern.pattern})$"), _first)


def _yaml_table(loader: _Loader, node: yaml.MappingNode) -> Any:
    table = Table()
    yield table
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(None, None, "a key must be a word", key.start_mark)
        table.put(key.value, loader.construct_object(value, deep=True))


def _yaml_point(loader: _Loader, node: yaml.ScalarNode) -> Decimal:
    try:
        return Decimal(node.value)
    except InvalidOperation:
        raise yaml.constructor.ConstructorError(None, None, "not a number", node.start_mark) from None


_Loader.add_constructor("tag:yaml.org,2002:map", _yaml_table)
_Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(node.value))
_Loader.add_constructor("tag:yaml.org,2002:float", _yaml_point)


def _read_yaml(text: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506  (a SafeLoader with fewer types)
    except yaml.MarkedYAMLError as error:
        where = error.problem_mark or error.context_mark
        place = f"line {where.line + 1}, column {where.column + 1}: " if where else ""
        raise _refused(f"{place}{error.problem or error.context} (YAML)") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _refused(f"line {line}: the character U+{ord(text[error.position]):04X} may not stand in YAML") from None
    except (yaml.YAMLError, ValueError) as error:
        raise _refused(str(error)) from None
    except RecursionError:
        raise _refused("the file is nested too deeply") from None


def _bound(tree: Any) -> None:
    """Every later step walks the whole tree, so it must be one: finite, and not blown up by anchors."""
    left = MOST_VALUES
    todo = [(tree, 1)]
    while todo:
        value, depth = todo.pop()
        left -= 1
        if left < 0 or depth > DEEPEST:
            raise _refused("the file has too many values, or refers to itself")
        if isinstance(value, str) and HALF.search(value):
            raise _refused(f"the text {value[:40]!r} has half a character in it, which no database takes")
        if isinstance(value, dict):
            todo += [(each, depth + 1) for each in (*value, *value.values())]
        elif isinstance(value, list):
            todo += [(each, depth + 1) for each in value]


def _refused(message: str) -> FileRefused:
    return FileRefused([Fault("", message)])

"""An OpenAPI document as its page shows it: operations by subject, with what each takes and answers. Values only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    kind: str  # "string", "list of ChatMessage", "integer or null"
    required: bool = False
    place: str = "body"  # path, query, header, body
    description: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    status: str
    reason: str
    kind: str = ""
    fields: tuple[Field, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    method: str
    path: str
    summary: str
    anchor: str
    description: str = ""
    needs: str = ""
    takes: tuple[Field, ...] = ()
    answers: tuple[Answer, ...] = ()
    refusals: tuple[str, ...] = ()  # statuses
    example: str = ""  # of a body, as JSON


@dataclass(slots=True)
class Group:
    name: str
    operations: list[Operation] = field(default_factory=list)


def groups_of(document: Schema) -> list[Group]:
    """By tag, in the document's order."""
    known = document.get("components", {}).get("schemas", {})
    groups: dict[str, Group] = {}
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            name = (told.get("tags") or ["other"])[0]
            groups.setdefault(name, Group(name)).operations.append(_operation(method, path, told, known))
    return list(groups.values())


def _operation(method: str, path: str, told: Schema, known: Schema) -> Operation:
    answers, refusals = [], []
    for status, answer in told.get("responses", {}).items():
        if str(status).startswith("2"):
            answers.append(_answer(str(status), answer, known))
        else:
            refusals.append(str(status))
    return Operation(
        method=method.upper(),
        path=path,
        summary=told.get("summary", ""),
        anchor=told.get("operationId", f"{method}-{path}"),
        description=told.get("description", ""),
        needs=told.get("x-needs", ""),
        takes=(*_parameters(told, known), *_body(told, known)),
        answers=tuple(answers),
        refusals=tuple(refusals),
        example=_example(told),
    )


def _parameters(told: Schema, known: Schema) -> list[Field]:
    return [
        Field(
            name=each["name"],
            kind=kind_of(each.get("schema", {})),
            required=each.get("required", False),
            place=each.get("in", "query"),
            description=each.get("description", ""),
        )
        for each in told.get("parameters", ())
    ]


def _body(told: Schema, known: Schema) -> tuple[Field, ...]:
    content = told.get("requestBody", {}).get("content", {})
    return _fields(content.get("application/json", {}).get("schema", {}), known)


def _example(told: Schema) -> str:
    content = told.get("requestBody", {}).get("content", {}).get("application/json", {})
    return json.dumps(content["example"]) if "example" in content else ""


def _answer(status: str, told: Schema, known: Schema) -> Answer:
    schema = told.get("content", {}).get("application/json", {}).get("schema", {})
    return Answer(status, HTTPStatus(int(status)).phrase, kind_of(schema) if schema else "", _fields(schema, known))


def _fields(schema: Schema, known: Schema) -> tuple[Field, ...]:
    schema = known.get(_reference(schema), schema)
    required = schema.get("required", ())
    return tuple(
        Field(name, kind_of(each), name in required, description=each.get("description", ""))
        for name, each in schema.get("properties", {}).items()
    )


def kind_of(schema: Schema) -> str:
    """The type of a value in words."""
    if _reference(schema):
        return _reference(schema)
    for several in ("oneOf", "anyOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(kind_of(each) for each in schema[several]))
    if "const" in schema:
        return f'"{schema["const"]}"'
    kind = schema.get("type", "anything")
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "array":
        items = schema.get("items", {})
        return f"list of {kind_of(items)}" if items else "list"
    return f"{kind} ({schema['format']})" if "format" in schema else str(kind)


def _reference(schema: Schema) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]

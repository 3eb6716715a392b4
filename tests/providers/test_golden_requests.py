"""What goes to each vendor of the OpenAI wire, to the byte: `tests/recordings/openai/<kind>-request.json`.

A recording that is missing is written, and the test fails that once: read it before it is kept.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from providers.adapters import adapter_for, speaks
from providers.chat import EmbeddingRequest, Wire
from providers.registry import KINDS, Kind
from providers.wiring import HttpRequest, Target
from tests.providers.talk import SECRET, asks

RECORDINGS = Path(__file__).parent.parent / "recordings" / "openai"
ROWS = [kind for kind in KINDS.values() if kind.wire is Wire.OPENAI and speaks(kind) and not kind.retired]
OPTIONS = {"organization": "org-test", "title": "Relayhouse", "bill_to": "test-organisation"}

TOOL = {
    "type": "function",
    "function": {
        "name": "lookup",
        "description": "Find a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
CALL = {"id": "call_abc123", "type": "function", "function": {"name": "lookup", "arguments": '{"city": "Riga"}'}}
MESSAGES: list[dict[str, Any]] = [
    {"role": "developer", "content": "Be brief."},
    {
        "role": "user",
        "name": "ann",
        "content": [
            {"type": "text", "text": "Où est-ce ?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}},
        ],
    },
    {
        "role": "assistant",
        "content": None,
        "reasoning_content": "A map.",
        "reasoning": "A map.",
        "reasoning_details": [{"type": "reasoning.text", "text": "A map.", "signature": "c2ln"}],
        "annotations": [],
        "relayhouse_state": {"vendor": "anthropic", "data": "sealed"},
        "tool_calls": [CALL],
    },
    {"role": "tool", "tool_call_id": "call_abc123", "content": "14 degrees"},
]
ASKED: dict[str, Any] = {
    "messages": MESSAGES,
    "max_completion_tokens": 400,
    "temperature": 0.2,
    "seed": 7,
    "stop": ["END"],
    "tools": [TOOL],
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "response_format": {"type": "json_object"},
    "reasoning_effort": "low",
    "user": "u-1",
}


def to(kind: Kind) -> Target:
    secret = SECRET if kind.auth != "none" else ""
    base = kind.base_url or "https://house.openai.azure.com"
    return Target(1, "house", kind, base, "vendor/model-1", secret=secret, options=OPTIONS)


def written(request: HttpRequest, warnings: list[str]) -> dict[str, Any]:
    headers = {name: value.replace(SECRET, "<key>") for name, value in request.headers.items()}
    told = {"method": request.method, "url": request.url, "headers": headers, "warnings": warnings}
    return told | {"body": json.loads(request.body)}


@pytest.mark.parametrize("kind", ROWS, ids=[kind.slug for kind in ROWS])
def test_what_goes_out(kind: Kind) -> None:
    adapter = adapter_for(kind)
    chat, warnings = adapter.chat_request(asks(stream=True, **ASKED), to(kind))
    told = {"chat": written(chat, warnings)}
    sent = {"chat": chat.body}
    if kind.embeddings_path:
        asked = EmbeddingRequest(["a", "é"], dimensions=256, user="u-1")
        embeddings, warnings = adapter.embedding_request(asked, to(kind))
        told["embeddings"] = written(embeddings, warnings)
        sent["embeddings"] = embeddings.body
    file = RECORDINGS / f"{kind.slug}-request.json"
    if not file.exists():
        file.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
        pytest.fail(f"{file.name} was missing and is written: read it.")
    kept = json.loads(file.read_text())
    assert told == kept
    for name, body in sent.items():
        assert msgspec.json.encode(kept[name]["body"]) == body, "the same, to the byte"


def test_no_recording_is_left_over() -> None:
    kept = {file.name.removesuffix("-request.json") for file in RECORDINGS.glob("*-request.json")}
    assert kept == {kind.slug for kind in ROWS}

"""What is asked by Bedrock's Converse: a chat completion, opened by `asked`, in its words.

Roles alternate, so neighbours are merged; a tool's answer is a block of the user. What must come back unchanged with a
turn (signed reasoning) is kept as the blocks it came in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from providers.adapters.asked import Asked, Audio, File, Image, Part, Text, Turn, fit_ids, kept_of, warnings_for
from providers.errors import BadRequest
from providers.wiring import Target

Block = dict[str, Any]

CACHE_POINT: Block = {"cachePoint": {"type": "default"}}
_IDS = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/jpg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
_DOCUMENTS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9\s\-()\[\]]+")
# `minimal` is not known there, and `none` is no effort but thinking switched off.
_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
_CLAUDE = re.compile(r"(?:^|[./])anthropic\.claude")


def body_of(asked: Asked, target: Target) -> tuple[dict[str, Any], list[str]]:
    """The body, and a warning for each thing that was left out."""
    dropped: list[str] = []
    body: dict[str, Any] = {}
    if system := _texts(asked.system):
        body["system"] = system
    body["messages"] = _messages(asked, target, dropped)
    if settings := _settings(asked):
        body["inferenceConfig"] = settings
    if tools := _tools(asked, body["messages"], dropped):
        body["toolConfig"] = tools
    extra: dict[str, Any] = {}
    if output := _output(asked, target, extra, dropped):
        body["outputConfig"] = output
    given = target.options.get("additional_model_request_fields")
    if isinstance(given, dict):
        extra = {**given, **extra}
    if extra:
        body["additionalModelRequestFields"] = extra
    if guardrail := _guardrail(target):
        body["guardrailConfig"] = guardrail
    if asked.seed is not None:
        dropped.append("seed")
    if asked.user:
        dropped.append("user")
    if asked.parallel is False:
        dropped.append("parallel_tool_calls")
    return body, warnings_for(asked, target, *dict.fromkeys(dropped))


# -- messages -------------------------------------------------------------------------


def _messages(asked: Asked, target: Target, dropped: list[str]) -> list[Block]:
    ids = fit_ids(_call_ids(asked.turns), _IDS)
    names: set[str] = set()
    messages: list[Block] = []
    for turn in asked.turns:
        role = "assistant" if turn.role == "assistant" else "user"
        content = _content(turn, ids, names, dropped)
        if not content:
            continue
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += content
        else:
            messages.append({"role": role, "content": content})
    if not messages or messages[0]["role"] != "user":
        raise BadRequest(f"{target.kind.name} wants the first message to be the user's.", param="messages", sent=False)
    return messages


def _call_ids(turns: Iterable[Turn]) -> Iterable[str]:
    for turn in turns:
        yield from (call.id for call in turn.calls)
        if turn.role == "tool":
            yield turn.call_id


def _content(turn: Turn, ids: dict[str, str], names: set[str], dropped: list[str]) -> list[Block]:
    if turn.name and turn.role == "user":
        dropped.append("messages.name")
    if turn.role == "tool":
        content = _blocks(turn.parts, names, dropped)
        result = {"toolUseId": ids[turn.call_id], "content": [one for one in content if "cachePoint" not in one]}
        cached = [one for one in content if "cachePoint" in one]
        return [{"toolResult": result | {"status": "success"}}, *cached[:1]]
    content = _state(turn, dropped) + _blocks(turn.parts, names, dropped)
    for call in turn.calls:
        arguments = msgspec.Raw(call.arguments.encode())
        content.append({"toolUse": {"toolUseId": ids[call.id], "name": call.name, "input": arguments}})
    return content


def _state(turn: Turn, dropped: list[str]) -> list[Block]:
    """Signed reasoning as this vendor gave it."""
    blocks = kept_of(turn, _kept, dropped)
    return [{"reasoningContent": given} for block in blocks if (given := msgspec.to_builtins(block))]


def _blocks(parts: Iterable[Part], names: set[str], dropped: list[str]) -> list[Block]:
    blocks: list[Block] = []
    for part in parts:
        match part:
            case Text():
                blocks += _texts([part])
            case Image():
                if part.detail not in ("", "auto"):
                    dropped.append("image_url.detail")
                blocks.append({"image": _media(part.media_type, part.data, _IMAGES, "image")})
            case File():
                document = _media(part.media_type, part.data, _DOCUMENTS, "document")
                blocks.append({"document": {"name": _document_name(part.name, names)} | document})
            case Audio():
                blocks.append({"audio": {"format": part.format, "source": {"bytes": part.data}}})
    return blocks


def _texts(parts: Iterable[Text]) -> list[Block]:
    """Blank blocks are refused there."""
    blocks: list[Block] = []
    for part in parts:
        if part.text.strip():
            blocks.append({"text": part.text})
        if part.cache and blocks:
            blocks.append(CACHE_POINT)
    return blocks


def _media(media_type: str, data: str, formats: dict[str, str], what: str) -> Block:
    if not data:
        raise BadRequest(
            f"An {what} must come as a data: URL in base64 here, not as an address.", param="messages", sent=False
        )
    form = formats.get(media_type.lower())
    if form is None:
        known = ", ".join(sorted(set(formats.values())))
        raise BadRequest(f"No {what} of type '{media_type[:60]}' is taken here: {known}.", param="messages", sent=False)
    return {"format": form, "source": {"bytes": data}}


def _document_name(given: str, names: set[str]) -> str:
    """Letters, digits, single blanks, hyphens and brackets; a name of its own for each."""
    stem = " ".join(_NOT_IN_NAMES.sub(" ", given.rpartition(".")[0] or given).split())[:150] or "document"
    name, number = stem, 1
    while name in names:
        number += 1
        name = f"{stem} ({number})"
    names.add(name)
    return name


# -- settings -------------------------------------------------------------------------


def _settings(asked: Asked) -> Block:
    settings = {
        "maxTokens": asked.longest,
        "temperature": asked.temperature,
        "topP": asked.top_p,
        "stopSequences": asked.stop or None,
    }
    return {name: value for name, value in settings.items() if value is not None}


def _tools(asked: Asked, messages: list[Block], dropped: list[str]) -> Block | None:
    """A history with calls in it wants the tools to be declared, also when they are not to be used any more."""
    called = [block["toolUse"]["name"] for message in messages for block in message["content"] if "toolUse" in block]
    answered = any("toolResult" in block for message in messages for block in message["content"])
    if asked.choice == "none" and not (called or answered):
        return None
    specs = [_tool(tool.name, tool.description, tool.schema) for tool in asked.tools]
    if any(tool.strict for tool in asked.tools):
        dropped.append("tools.function.strict")
    if not specs and (called or answered):
        empty = msgspec.Raw(b'{"type":"object"}')
        specs = [_tool(name, "", empty) for name in dict.fromkeys(called or ["tool"])]
    if not specs:
        return None
    config: Block = {"tools": specs}
    match asked.choice:
        case "auto":
            config["toolChoice"] = {"auto": {}}
        case "required":
            config["toolChoice"] = {"any": {}}
        case "tool":
            config["toolChoice"] = {"tool": {"name": asked.chosen}}
        case "none":
            dropped.append("tool_choice")
    return config


def _tool(name: str, description: str, schema: msgspec.Raw) -> Block:
    spec: Block = {"name": name}
    if description.strip():
        spec["description"] = description
    return {"toolSpec": spec | {"inputSchema": {"json": schema}}}


def _output(asked: Asked, target: Target, extra: dict[str, Any], dropped: list[str]) -> Block:
    output: Block = {}
    if asked.schema is not None:
        schema = bytes(asked.schema.schema).decode() if asked.schema.schema is not None else '{"type":"object"}'
        structure = {"jsonSchema": {"name": asked.schema.name, "schema": schema}}
        output["textFormat"] = {"type": "json_schema", "structure": structure}
    claude = _CLAUDE.search(target.model) is not None
    if asked.effort in _EFFORTS:
        output["effort"] = _EFFORTS[asked.effort]
        if claude:
            extra["thinking"] = {"type": "adaptive"}
    elif asked.effort == "none" and claude:
        extra["thinking"] = {"type": "disabled"}
    elif asked.effort:
        dropped.append("reasoning_effort")
    return output


def _guardrail(target: Target) -> Block | None:
    """One that the provider's own settings name: who calls cannot leave it out."""
    name = target.options.get("guardrail")
    if not name:
        return None
    version = target.options.get("guardrail_version") or "DRAFT"
    return {"guardrailIdentifier": str(name), "guardrailVersion": str(version)}


# -- what is kept of an answer for the next request ----------------------------------------


class ReasoningText(msgspec.Struct, omit_defaults=True):
    text: str
    signature: str = ""


class Kept(msgspec.Struct, omit_defaults=True):
    """A block of reasoning: signed text, or bytes (in base64) that only its maker can read."""

    reasoningText: ReasoningText | None = None
    redactedContent: str = ""


_kept = msgspec.json.Decoder(list[Kept])


def state_of(blocks: list[Kept]) -> str:
    """Only what is signed or sealed has to come back; empty when there is nothing of the kind."""
    owed = any(block.redactedContent or (block.reasoningText and block.reasoningText.signature) for block in blocks)
    return msgspec.json.encode(blocks).decode() if owed else ""

"""What is asked by OpenAI's Responses: a chat completion, opened by `asked`, as instructions and a list of items.

Spoken by OpenAI's second door and by Perplexity's door for agents, which is a dialect of its own: what differs is in
the kind's row. Nothing is stored there, so what a model thought comes back sealed, and goes back in its old place.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from providers.adapters.asked import (
    Asked,
    Audio,
    Call,
    File,
    Image,
    Part,
    Schema,
    Text,
    Tool,
    Turn,
    fit_ids,
    kept_of,
    warnings_for,
)
from providers.errors import BadRequest
from providers.wiring import Target

Item = dict[str, Any]

SEALED = "reasoning.encrypted_content"
_IDS = re.compile(r"[\w.:-]{1,64}", re.ASCII)
# Fields that OpenAI takes at both doors under the same name.
_SAME = (
    "metadata",
    "service_tier",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "moderation",
)


def body_of(asked: Asked, target: Target, *, stream: bool) -> tuple[dict[str, Any], list[str]]:
    """The body, and a warning for each thing that was left out."""
    kind, dropped = target.kind, list[str]()
    body: dict[str, Any] = {"model": target.model}
    if system := "\n\n".join(part.text for part in asked.system if part.text.strip()):
        body["instructions"] = system
    if kind.agent and any(isinstance(part, File) for turn in asked.turns for part in turn.parts):
        raise BadRequest("Files are not taken here.", param="messages", sent=False)
    body["input"] = _items(asked, dropped)
    _add_tools(body, asked, target, dropped)
    _add_thought(body, asked, target, dropped)
    if asked.schema is not None:
        _add_format(body, asked.schema, target, dropped)
    settings = {
        "max_output_tokens": asked.longest,
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "parallel_tool_calls": asked.parallel if "tools" in body else None,
    }
    body |= {name: value for name, value in settings.items() if value is not None}
    if asked.user:
        body["safety_identifier"] = asked.user
    if not kind.agent:
        _add_rest(body, asked)
    for field, ours in (("temperature", ""), ("top_p", ""), ("parallel_tool_calls", ""), ("safety_identifier", "user")):
        if (ours or field) in kind.drops and body.pop(field, None) is not None:
            dropped.append(ours or field)
    if asked.rest.get("store") is False:
        del asked.rest["store"]
    body["store"] = False
    if stream:
        body["stream"] = True
    dropped += [name for name, value in (("stop", asked.stop), ("seed", asked.seed)) if value not in (None, [])]
    return body, warnings_for(asked, target, *dict.fromkeys(dropped))


# -- turns as items -----------------------------------------------------------------------


def _items(asked: Asked, dropped: list[str]) -> list[Item]:
    ids = fit_ids(_call_ids(asked.turns), _IDS)
    signatures: dict[str, str] = {}  # by the call they belong to
    items: list[Item] = []
    for turn in asked.turns:
        if turn.name and turn.role != "tool":
            dropped.append("messages.name")
        if turn.role == "user":
            items += _message(turn.parts)
        elif turn.role == "tool":
            items.append(_result(turn, ids, signatures))
        else:
            items += _of_assistant(turn, ids, signatures, dropped)
    if not items:
        raise BadRequest("'messages' has nothing but instructions in it.", param="messages", sent=False)
    return items


def _call_ids(turns: Iterable[Turn]) -> Iterable[str]:
    for turn in turns:
        yield from (call.id for call in turn.calls)
        if turn.role == "tool":
            yield turn.call_id


def _message(parts: Iterable[Part]) -> list[Item]:
    content = [_part(part) for part in parts]
    return [{"type": "message", "role": "user", "content": content}] if content else []


def _part(part: Part) -> Item:
    match part:
        case Text():
            return {"type": "input_text", "text": part.text}
        case Image():
            url = f"data:{part.media_type};base64,{part.data}" if part.data else part.url
            return {"type": "input_image", "image_url": url} | ({"detail": part.detail} if part.detail else {})
        case File():
            data = f"data:{part.media_type};base64,{part.data}"
            return {"type": "input_file", "filename": part.name or "document.pdf", "file_data": data}
        case Audio():
            raise BadRequest("Sound is not taken here.", param="messages", sent=False)


def _result(turn: Turn, ids: dict[str, str], signatures: dict[str, str]) -> Item:
    """As text; only what has more than text in it is a list of parts."""
    plain = all(isinstance(part, Text) for part in turn.parts)
    output: Any = turn.text if plain else [_part(part) for part in turn.parts]
    item: Item = {"type": "function_call_output", "call_id": ids[turn.call_id], "output": output}
    if turn.call_id in signatures:
        item["thought_signature"] = signatures[turn.call_id]
    return item


def _of_assistant(turn: Turn, ids: dict[str, str], signatures: dict[str, str], dropped: list[str]) -> Iterator[Item]:
    """In the order in which the model gave them: its thoughts lead to what follows them."""
    if not all(isinstance(part, Text) for part in turn.parts):
        raise BadRequest("The assistant's turns can only have text in them here.", param="messages", sent=False)
    said, calls = turn.text, {call.id: call for call in turn.calls}
    for kept in _kept_of(turn, dropped):
        if kept.type == "reasoning" and kept.item is not None:
            yield kept.item
        elif kept.type == "message" and said:
            yield _said(said)
            said = ""
        elif kept.type == "function_call" and (call := calls.pop(kept.call_id, None)) is not None:
            if kept.thought_signature:
                signatures[call.id] = kept.thought_signature
            yield _called(call, ids, kept.thought_signature)
    if said:
        yield _said(said)
    yield from (_called(call, ids) for call in calls.values())


def _said(text: str) -> Item:
    return {"type": "message", "role": "assistant", "content": text}


def _called(call: Call, ids: dict[str, str], signature: str = "") -> Item:
    item = {"type": "function_call", "call_id": ids[call.id], "name": call.name, "arguments": call.arguments}
    return item | ({"thought_signature": signature} if signature else {})


# -- settings -----------------------------------------------------------------------------


def _add_tools(body: dict[str, Any], asked: Asked, target: Target, dropped: list[str]) -> None:
    kind = target.kind
    tools = [] if asked.choice == "none" and "tool_choice" in kind.drops else [_tool(tool) for tool in asked.tools]
    if search := _search(asked, target):
        tools.append(search)
    if tools:
        body["tools"] = tools
    if not asked.choice:
        return
    if not tools or "tool_choice" in kind.drops:
        if asked.choice in ("required", "tool"):
            dropped.append("tool_choice")
    elif asked.choice == "tool":
        body["tool_choice"] = {"type": "function", "name": asked.chosen}
    else:
        body["tool_choice"] = asked.choice


def _tool(tool: Tool) -> Item:
    """Strict is what is usual at this door, and not at the one the client knows."""
    made: Item = {"type": "function", "name": tool.name}
    if tool.description:
        made["description"] = tool.description
    return made | {"parameters": tool.schema, "strict": tool.strict is True}


_FILTERS = ("search_domain_filter", "search_recency_filter")


def _search(asked: Asked, target: Target) -> Item | None:
    """The vendor's own web search: where the kind always has it, or where the client asks for it."""
    options = asked.rest.pop("web_search_options", None)
    always = target.kind.agent and target.options.get("web_search") is not False
    if not isinstance(options, dict) and not always:
        return None
    tool: Item = {"type": "web_search"}
    options = options if isinstance(options, dict) else {}
    if size := options.get("search_context_size"):
        tool["search_context_size"] = size
    match options.get("user_location"):
        case {"approximate": dict(place)}:
            tool["user_location"] = place if target.kind.agent else {"type": "approximate", **place}
    if target.kind.agent:
        filters = {name: target.options[name] for name in _FILTERS if target.options.get(name)}
        if filters:
            tool["filters"] = filters
    return tool


def _add_thought(body: dict[str, Any], asked: Asked, target: Target, dropped: list[str]) -> None:
    reasoning: Item = {}
    if asked.effort:
        effort = target.kind.efforts.get(asked.effort, asked.effort)
        if effort:
            reasoning["effort"] = effort
        else:
            dropped.append("reasoning_effort")
    if target.kind.agent:
        body |= {"reasoning": reasoning} if reasoning else {}
        return
    if summary := target.options.get("reasoning_summary"):
        reasoning["summary"] = str(summary)
    if reasoning:
        body["reasoning"] = reasoning
    if reasoning or target.parameters.get("reasoning_model") is True:
        body["include"] = [SEALED]  # models that do not think refuse it


def _add_format(body: dict[str, Any], schema: Schema, target: Target, dropped: list[str]) -> None:
    if schema.schema is None:
        if target.kind.agent:
            dropped.append("response_format")
        else:
            body["text"] = {"format": {"type": "json_object"}}
        return
    shape: Item = {"name": schema.name, "schema": schema.schema}
    if schema.strict is not None:
        shape["strict"] = schema.strict
    if target.kind.agent:
        body["response_format"] = {"type": "json_schema", "json_schema": shape}
    else:
        body["text"] = {"format": {"type": "json_schema", **shape}}


def _add_rest(body: dict[str, Any], asked: Asked) -> None:
    body |= {name: asked.rest.pop(name) for name in _SAME if name in asked.rest}
    verbosity = asked.rest.pop("verbosity", None)
    if verbosity is not None:
        body["text"] = body.get("text", {}) | {"verbosity": verbosity}


# -- what is kept of an answer for the next request ----------------------------------------


class Kept(msgspec.Struct, omit_defaults=True):
    """One item of an answer's: its thoughts as they came, of the others only their place and their signature."""

    type: str
    item: dict[str, Any] | None = None
    call_id: str = ""
    thought_signature: str = ""


_kept = msgspec.json.Decoder(list[Kept])


def state_of(kept: Iterable[Kept]) -> str:
    """Empty when nothing in it was sealed or signed."""
    listed = [one for one in kept if one.type != "reasoning" or one.item is not None]
    owed = any(one.item is not None or one.thought_signature for one in listed)
    return msgspec.json.encode(listed).decode() if owed else ""


def _kept_of(turn: Turn, dropped: list[str]) -> list[Kept]:
    """Only thoughts are taken from it as they are."""
    return [one for one in kept_of(turn, _kept, dropped) if one.item is None or one.item.get("type") == "reasoning"]

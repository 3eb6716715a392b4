"""What is asked by Anthropic's Messages: a chat completion, opened by `asked`, in its words.

The system's texts stand apart, roles alternate, a tool's answer is a block of the user. Thinking that was signed goes
back with its turn as the blocks it came in.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from providers.adapters.asked import Asked, Audio, File, Image, Part, Text, Tool, Turn, fit_ids, kept_of, warnings_for
from providers.errors import BadRequest
from providers.wiring import Target

Block = dict[str, Any]

LONGEST = 4096  # tokens of an answer where neither the request, the provider nor the model says; it must be said there
MOST_CACHE_MARKS = 4
SHORTEST_BUDGET = 1024

_IDS = re.compile(r"[a-zA-Z0-9_-]+")
_IMAGES = {"image/png": "image/png", "image/jpeg": "image/jpeg", "image/jpg": "image/jpeg", "image/gif": "image/gif",
           "image/webp": "image/webp"}  # fmt: skip
_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
# Older models do not choose how long they think, and know no effort: they are given so many tokens for it.
_BUDGETED = re.compile(r"claude-(?:[0-3]|(?:opus|sonnet|haiku)-4(?:-[0-5])?(?:[-@]\d{8}.*)?$)")
_BUDGETS = {"minimal": 1024, "low": 4096, "medium": 16384, "high": 32768, "xhigh": 49152, "max": 60000}


def body_of(asked: Asked, target: Target, *, stream: bool) -> tuple[dict[str, Any], list[str]]:
    """The body, and a warning for each thing that was left out or changed."""
    dropped: list[str] = []
    said: list[str] = []
    body: dict[str, Any] = {"model": target.model, "max_tokens": asked.longest or target.longest or LONGEST}
    if system := _texts(asked.system):
        body["system"] = system
    body["messages"] = _messages(asked, dropped)
    _keep_last_marks(body, said)
    if tools := _tools(asked, body["messages"]):
        body["tools"] = tools
        if choice := _choice(asked):
            body["tool_choice"] = choice
    elif asked.choice not in ("", "none"):
        dropped.append("tool_choice")
    _think(asked, target, body, dropped, said)
    if asked.schema is not None and asked.schema.schema is not None:
        shape = {"type": "json_schema", "schema": asked.schema.schema}
        body["output_config"] = body.get("output_config", {}) | {"format": shape}
    elif asked.schema is not None:
        dropped.append("response_format")  # any JSON: only one of a known shape can be had
    _sample(asked, target, body, dropped, said)
    stops = [one for one in asked.stop if one.strip()]
    if stops:
        body["stop_sequences"] = stops
    if len(stops) < len(asked.stop):
        said.append("A blank 'stop' was dropped.")
    if asked.user:
        body["metadata"] = {"user_id": asked.user}
    if asked.seed is not None:
        dropped.append("seed")
    if stream:
        body["stream"] = True
    return body, [*warnings_for(asked, target, *dict.fromkeys(dropped)), *said]


# -- messages -------------------------------------------------------------------------


def _messages(asked: Asked, dropped: list[str]) -> list[Block]:
    ids = fit_ids(_call_ids(asked.turns), _IDS)
    messages: list[Block] = []
    for turn in asked.turns:
        role = "assistant" if turn.role == "assistant" else "user"
        content = _content(turn, ids, dropped)
        if not content:
            continue
        if messages and messages[-1]["role"] == role:
            _join(messages[-1]["content"], content)
        else:
            messages.append({"role": role, "content": content})
    if not messages:
        raise BadRequest("'messages' has nothing but instructions in it.", param="messages", sent=False)
    if messages[-1]["role"] == "assistant":
        _trim(messages[-1]["content"])
    return messages


def _join(content: list[Block], more: list[Block]) -> None:
    """Results of tools stand before everything else."""
    results = [block for block in more if block["type"] == "tool_result"]
    place = sum(block["type"] == "tool_result" for block in content)
    content[place:place] = results
    content += [block for block in more if block["type"] != "tool_result"]


def _trim(content: list[Block]) -> None:
    """An answer that is to be gone on with may not end with blanks."""
    if content[-1]["type"] == "text":
        content[-1]["text"] = content[-1]["text"].rstrip()


def _call_ids(turns: Iterable[Turn]) -> Iterable[str]:
    for turn in turns:
        yield from (call.id for call in turn.calls)
        if turn.role == "tool":
            yield turn.call_id


def _content(turn: Turn, ids: dict[str, str], dropped: list[str]) -> list[Block]:
    if turn.name and turn.role != "tool":
        dropped.append("messages.name")
    if turn.role == "tool":
        result: Block = {"type": "tool_result", "tool_use_id": ids[turn.call_id]}
        blocks = _blocks(turn.parts, dropped)
        if blocks:
            plain = len(blocks) == 1 and blocks[0].keys() == {"type", "text"}
            result["content"] = blocks[0]["text"] if plain else blocks
        return [result]
    if turn.role == "user":
        return _blocks(turn.parts, dropped)
    if not all(isinstance(part, Text) for part in turn.parts):
        raise _refused("The assistant's turns can only have text in them here.")
    content = _state(turn, dropped) + _blocks(turn.parts, dropped)
    for call in turn.calls:
        arguments = msgspec.Raw(call.arguments.encode())
        content.append({"type": "tool_use", "id": ids[call.id], "name": call.name, "input": arguments})
    return content


def _blocks(parts: Iterable[Part], dropped: list[str]) -> list[Block]:
    blocks: list[Block] = []
    for part in parts:
        match part:
            case Text():
                blocks += _texts([part])
            case Image():
                if part.detail not in ("", "auto"):
                    dropped.append("image_url.detail")
                blocks.append({"type": "image", "source": _image(part)})
            case File():
                blocks.append(_document(part))
            case Audio():
                raise _refused("Sound is not taken here.")
    return blocks


def _texts(parts: Iterable[Text]) -> list[Block]:
    """Blank blocks are refused there; a mark on one belongs to what stands before it."""
    blocks: list[Block] = []
    for part in parts:
        if part.text.strip():
            blocks.append({"type": "text", "text": part.text})
        if part.cache and blocks:
            blocks[-1]["cache_control"] = {"type": "ephemeral"}
    return blocks


def _image(part: Image) -> Block:
    if not part.data:
        return {"type": "url", "url": part.url}
    media_type = _IMAGES.get(part.media_type.lower())
    if media_type is None:
        raise _refused(f"No image of type '{part.media_type[:60]}' is taken here: gif, jpeg, png, webp.")
    return {"type": "base64", "media_type": media_type, "data": part.data}


def _document(part: File) -> Block:
    media_type = part.media_type.lower()
    if media_type == "application/pdf":
        source = {"type": "base64", "media_type": media_type, "data": part.data}
    elif media_type.startswith("text/"):
        source = {"type": "text", "media_type": "text/plain", "data": _text_of(part.data)}
    else:
        raise _refused(f"No file of type '{part.media_type[:60]}' is taken here: pdf or text.")
    return {"type": "document", "source": source} | ({"title": part.name} if part.name else {})


def _text_of(data: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise _refused("A file of text must be UTF-8 in base64.") from None


def _refused(words: str) -> BadRequest:
    return BadRequest(words, param="messages", sent=False)


def _keep_last_marks(body: dict[str, Any], said: list[str]) -> None:
    """So many may be marked for the cache, and no more. The later ones hold the earlier ones in them."""
    blocks = [*body.get("system", ()), *(block for message in body["messages"] for block in _deep(message["content"]))]
    marked = [block for block in blocks if "cache_control" in block]
    for block in marked[:-MOST_CACHE_MARKS]:
        del block["cache_control"]
    if len(marked) > MOST_CACHE_MARKS:
        said.append(f"Of {len(marked)} 'cache_control', the last {MOST_CACHE_MARKS} were sent.")


def _deep(content: list[Block]) -> Iterable[Block]:
    for block in content:
        inner = block.get("content")
        if isinstance(inner, list):
            yield from inner
        yield block


# -- tools ----------------------------------------------------------------------------


def _tools(asked: Asked, messages: list[Block]) -> list[Block]:
    """A history with calls in it wants tools to be declared, also when there are none any more."""
    if asked.tools:
        return [_tool(tool) for tool in asked.tools]
    blocks = [block for message in messages for block in message["content"]]
    names = [block["name"] for block in blocks if block["type"] == "tool_use"]
    if not names and not any(block["type"] == "tool_result" for block in blocks):
        return []
    asked.choice = "none"
    return [_tool(Tool(name)) for name in dict.fromkeys(names or ["tool"])]


def _tool(tool: Tool) -> Block:
    made: Block = {"name": tool.name}
    if tool.description:
        made["description"] = tool.description
    made["input_schema"] = tool.schema
    if tool.strict is not None:
        made["strict"] = tool.strict
    return made


_CHOICES = {"auto": "auto", "none": "none", "required": "any", "tool": "tool"}


def _choice(asked: Asked) -> Block | None:
    alone = asked.parallel is False and asked.choice != "none"
    if not asked.choice and not alone:
        return None
    choice: Block = {"type": _CHOICES[asked.choice or "auto"]}
    if asked.choice == "tool":
        choice["name"] = asked.chosen
    if alone:
        choice["disable_parallel_tool_use"] = True
    return choice


# -- thinking and sampling --------------------------------------------------------------


def _think(asked: Asked, target: Target, body: dict[str, Any], dropped: list[str], said: list[str]) -> None:
    if not asked.effort:
        return
    budgeted = _BUDGETED.search(target.model) is not None
    if asked.effort == "none":
        if target.parameters.get("thinking_always_on") is True:
            dropped.append("reasoning_effort")
        else:
            body["thinking"] = {"type": "disabled"}
        return
    if asked.effort not in _EFFORTS:
        dropped.append("reasoning_effort")
        return
    if not budgeted:
        body["output_config"] = {"effort": _EFFORTS[asked.effort]}
    obstacle = _obstacle(asked, body, budgeted)
    if obstacle and target.parameters.get("thinking_always_on") is not True:
        said.append(f"Thinking was left off: {target.kind.name} does not take it {obstacle}.")
    elif budgeted:
        most = max(SHORTEST_BUDGET, body["max_tokens"] // 2)
        body["thinking"] = {"type": "enabled", "budget_tokens": min(_BUDGETS[asked.effort], most)}
    else:
        body["thinking"] = {"type": "adaptive"}


def _obstacle(asked: Asked, body: dict[str, Any], budgeted: bool) -> str:
    """What keeps a model from thinking; empty when nothing does."""
    if "tools" in body and asked.choice in ("required", "tool"):
        return "with a tool that must be called"
    if budgeted and body["max_tokens"] <= SHORTEST_BUDGET:
        return f"with 'max_tokens' of {SHORTEST_BUDGET} or less"
    if budgeted and _calls_without_thought(body["messages"]):
        return "in the middle of a turn that began without"
    return ""


def _calls_without_thought(messages: list[Block]) -> bool:
    """Whether tools are being answered that were called without thinking, or with somebody else's."""
    if len(messages) < 2 or messages[-1]["content"][0]["type"] != "tool_result":
        return False
    return messages[-2]["content"][0]["type"] not in ("thinking", "redacted_thinking")


def _sample(asked: Asked, target: Target, body: dict[str, Any], dropped: list[str], said: list[str]) -> None:
    thinks = body.get("thinking", {}).get("type") in ("enabled", "adaptive")
    refuses = thinks or target.parameters.get("sampling_params") is False
    temperature = asked.temperature
    if temperature is not None and refuses and temperature != 1:
        dropped.append("temperature")
    elif temperature is not None and not refuses:
        if temperature > 1:
            said.append(f"'temperature' was sent as 1: {target.kind.name} takes no more.")
        body["temperature"] = min(temperature, 1.0)
    if asked.top_p is not None:
        # Newer models take only one of the two.
        if refuses or "temperature" in body:
            dropped.append("top_p")
        else:
            body["top_p"] = asked.top_p


# -- what is kept of an answer for the next request ----------------------------------------


class Thinking(msgspec.Struct, tag="thinking"):
    thinking: str = ""
    signature: str = ""


class Redacted(msgspec.Struct, tag="redacted_thinking"):
    """Thinking that only its maker can read."""

    data: str = ""


_kept = msgspec.json.Decoder(list[Thinking | Redacted])


def state_of(blocks: Iterable[Thinking | Redacted]) -> str:
    """Only what is signed or sealed can go back; empty when there is nothing of the kind."""
    owed = [block for block in blocks if (block.signature if isinstance(block, Thinking) else block.data)]
    return msgspec.json.encode(owed).decode() if owed else ""


def _state(turn: Turn, dropped: list[str]) -> list[Block]:
    return [msgspec.to_builtins(block) for block in kept_of(turn, _kept, dropped)]

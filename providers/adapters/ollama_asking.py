"""What is asked by Ollama's `/api/chat`: a chat completion, opened by `asked`, in its words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from providers.adapters.asked import Asked, Image, Part, Text, Turn, warnings_for
from providers.errors import BadRequest
from providers.wiring import Target

Block = dict[str, Any]

# How long it thinks. Models that only do or do not take every word but `none` for yes.
_THINKS: dict[str, bool | str] = {"none": False, "minimal": "low", "low": "low", "medium": "medium", "high": "high",
                                  "xhigh": "max", "max": "max"}  # fmt: skip
# What a client may set although OpenAI has no field for it, and the two of OpenAI's that it shares.
_SAMPLING = frozenset(
    """
    num_ctx num_keep top_k min_p typical_p repeat_last_n repeat_penalty presence_penalty frequency_penalty
    num_predict temperature top_p seed stop
    """.split()
)
# What the provider's own settings decide, also against a client: how much of the machine a model takes.
_MACHINE = ("num_ctx", "num_batch", "num_gpu", "num_thread")


def body_of(asked: Asked, target: Target, *, stream: bool) -> tuple[Block, list[str]]:
    """The body, and a warning for each thing that was left out or changed."""
    dropped: list[str] = []
    # It streams unless told not to, and cuts a prompt that is too long in silence unless told not to.
    body: Block = {
        "model": target.model,
        "stream": stream,
        "messages": _messages(asked, target, dropped),
        "truncate": False,
        "shift": False,
    }
    if options := _options(asked, target, dropped):
        body["options"] = options
    keep = asked.rest.pop("keep_alive", None)
    keep = target.options.get("keep_alive") if keep is None else keep
    if keep is not None:
        body["keep_alive"] = keep
    if (thinks := _THINKS.get(asked.effort)) is not None:
        body["think"] = thinks
    elif asked.effort:
        dropped.append("reasoning_effort")
    if asked.schema is not None:
        body["format"] = "json" if asked.schema.schema is None else asked.schema.schema
    if asked.tools and asked.choice != "none":
        body["tools"] = [
            {"type": "function", "function": _tool(tool.name, tool.description, tool.schema)} for tool in asked.tools
        ]
        if any(tool.strict for tool in asked.tools):
            dropped.append("tools.function.strict")
    if asked.choice in ("required", "tool"):
        dropped.append("tool_choice")
    if asked.parallel is False:
        dropped.append("parallel_tool_calls")
    if asked.user:
        dropped.append("user")
    return body, warnings_for(asked, target, *dict.fromkeys(dropped))


def _tool(name: str, description: str, schema: msgspec.Raw) -> Block:
    return {"name": name, "description": description, "parameters": schema}


def _options(asked: Asked, target: Target, dropped: list[str]) -> Block:
    told = asked.rest.pop("options", None)
    options = dict(told) if isinstance(told, dict) else {}
    dropped += [f"options.{name}"[:60] for name in options if name not in _SAMPLING]
    options = {name: value for name, value in options.items() if name in _SAMPLING}
    options |= {name: asked.rest.pop(name) for name in sorted(_SAMPLING & asked.rest.keys())}
    more = {
        "num_predict": asked.longest,
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "seed": asked.seed,
        "stop": asked.stop or None,
    }
    options |= {name: value for name, value in more.items() if value is not None}
    return options | {name: value for name in _MACHINE if (value := target.options.get(name)) is not None}


# -- messages -------------------------------------------------------------------------


def _messages(asked: Asked, target: Target, dropped: list[str]) -> list[Block]:
    names = {call.id: call.name for turn in asked.turns for call in turn.calls}
    messages: list[Block] = []
    if asked.system:
        messages.append({"role": "system", "content": "\n\n".join(part.text for part in asked.system)})
    messages += [_message(turn, names, target, dropped) for turn in asked.turns]
    if not messages:
        # Then it would only load the model, and answer nothing.
        raise BadRequest(f"{target.kind.name} wants at least one message.", param="messages", sent=False)
    return messages


def _message(turn: Turn, names: dict[str, str], target: Target, dropped: list[str]) -> Block:
    message: Block = {"role": turn.role, "content": turn.text}
    if images := _images(turn.parts, target, dropped):
        message["images"] = images
    if turn.name and turn.role == "user":
        dropped.append("messages.name")
    if turn.calls:
        if turn.reasoning:
            message["thinking"] = turn.reasoning  # what led to the calls; of other turns it is not asked back
        message["tool_calls"] = [
            ({"id": call.id} if call.id else {})
            | {"function": {"name": call.name, "arguments": msgspec.Raw(call.arguments.encode())}}
            for call in turn.calls
        ]
    if turn.role == "tool":
        message["tool_name"] = turn.name or names.get(turn.call_id) or turn.call_id
        message["tool_call_id"] = turn.call_id
    return message


def _images(parts: Iterable[Part], target: Target, dropped: list[str]) -> list[str]:
    """Bare base64, and nothing but pictures."""
    images: list[str] = []
    for part in parts:
        match part:
            case Text():
                continue
            case Image(data=data) if data:
                if part.detail not in ("", "auto"):
                    dropped.append("image_url.detail")
                images.append(data)
            case Image():
                words = "'image_url.url': a picture must come as a data: URL in base64 here, not as an address."
                raise BadRequest(words, param="messages", sent=False)
            case _:
                words = f"{target.kind.name} takes text and pictures, no {type(part).__name__.lower()}."
                raise BadRequest(words, param="messages", sent=False)
    return images

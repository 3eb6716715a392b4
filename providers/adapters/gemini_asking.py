"""What is asked by Gemini's generateContent: a chat completion, opened by `asked`, in its words.

Roles are `user` and `model` and alternate, so neighbours are merged; a tool's answer is a part of the user. A signature
of the model's thoughts goes back on the part it came with.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from providers.adapters.asked import Asked, Audio, File, Image, Part, Text, Tool, Turn, kept_of, warnings_for
from providers.adapters.asking import without
from providers.errors import BadRequest
from providers.wiring import Target

Block = dict[str, Any]

# Stands for a signature where the history is somebody else's: without any, a call is refused.
NO_SIGNATURE = base64.b64encode(b"skip_thought_signature_validator").decode()

_GENERATION = re.compile(r"gemini-(\d+)(?:\.(\d+))?")
_GEMINI = re.compile(r"gemini-")
_NEWEST, _NONE = (99, 0), (0, 0)
_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY", "tool": "ANY"}
_LEVELS = {"none": "minimal", "minimal": "minimal", "low": "low", "medium": "medium", "high": "high", "xhigh": "high",
           "max": "high"}  # fmt: skip
# Models before the third generation are given so many tokens to think in. Their largest cannot do without.
_BUDGETS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576, "max": 24576}
_SHORTEST_BUDGET_OF_PRO = 128
_PENALTIES = {"frequency_penalty": "frequencyPenalty", "presence_penalty": "presencePenalty"}


def body_of(asked: Asked, target: Target) -> tuple[dict[str, Any], list[str]]:
    """The body, and a warning for each thing that was left out or changed."""
    dropped: list[str] = []
    said: list[str] = []
    body: dict[str, Any] = {}
    if system := _texts(asked.system):
        body["systemInstruction"] = {"parts": system}
    body["contents"] = _contents(asked, target, dropped)
    if asked.tools:
        body["tools"] = [{"functionDeclarations": [_tool(tool, target, said) for tool in asked.tools]}]
        if choice := _choice(asked):
            body["toolConfig"] = {"functionCallingConfig": choice}
        if any(tool.strict for tool in asked.tools):
            dropped.append("tools.function.strict")
    elif asked.choice not in ("", "none"):
        dropped.append("tool_choice")
    if config := _config(asked, target, dropped, said):
        body["generationConfig"] = config
    safety = target.options.get("safety_settings")
    if isinstance(safety, list):
        body["safetySettings"] = safety
    if asked.user:
        dropped.append("user")
    if asked.parallel is False:
        dropped.append("parallel_tool_calls")
    return body, [*warnings_for(asked, target, *dict.fromkeys(dropped)), *dict.fromkeys(said)]


def generation(model: str) -> tuple[int, int]:
    """Which generation a Gemini is of; one whose name does not say is of the newest, and no Gemini is of none."""
    found = _GENERATION.search(model)
    if found is not None:
        return int(found[1]), int(found[2] or 0)
    return _NEWEST if _GEMINI.search(model) else _NONE


# -- contents -------------------------------------------------------------------------


def _contents(asked: Asked, target: Target, dropped: list[str]) -> list[Block]:
    names = {call.id: call.name for turn in asked.turns for call in turn.calls}
    contents: list[Block] = []
    for turn in asked.turns:
        role = "model" if turn.role == "assistant" else "user"
        parts = _answered(turn, names, dropped) if turn.role == "tool" else _said(turn, target, dropped)
        if not parts:
            continue
        if contents and contents[-1]["role"] == role:
            contents[-1]["parts"] += parts
        else:
            contents.append({"role": role, "parts": parts})
    if not contents:
        raise BadRequest(f"{target.kind.name} wants a message of the user.", param="messages", sent=False)
    return contents


def _answered(turn: Turn, names: dict[str, str], dropped: list[str]) -> list[Block]:
    """What a tool answered. It is an object there; pictures follow as parts of their own."""
    answer: Block = {"id": turn.call_id} if turn.call_id else {}
    answer["name"] = turn.name or names.get(turn.call_id) or turn.call_id or "tool"
    answer["response"] = _as_object(turn.text)
    media = [part for part in turn.parts if not isinstance(part, Text)]
    return [{"functionResponse": answer}, *_blocks(media, dropped)]


def _as_object(text: str) -> Any:
    if text.lstrip()[:1] == "{":
        try:
            msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        except (msgspec.DecodeError, RecursionError):
            pass  # it only looked like one
        else:
            return msgspec.Raw(text.strip().encode())
    return {"result": text}


def _said(turn: Turn, target: Target, dropped: list[str]) -> list[Block]:
    if turn.name and turn.role == "user":
        dropped.append("messages.name")
    parts = _blocks(turn.parts, dropped)
    signatures = _signatures(turn, dropped)
    if (signature := signatures.get(None)) is not None:
        if not parts:
            parts.append({"text": ""})
        parts[-1]["thoughtSignature"] = signature
    for number, call in enumerate(turn.calls):
        made: Block = {"id": call.id} if call.id else {}
        part: Block = {"functionCall": made | {"name": call.name, "args": msgspec.Raw(call.arguments.encode())}}
        if (signature := signatures.get(number)) is not None:
            part["thoughtSignature"] = signature
        elif number == 0 and generation(target.model) >= (3, 0):
            part["thoughtSignature"] = NO_SIGNATURE  # only the first of parallel calls must have one
        parts.append(part)
    return parts


def _blocks(parts: Iterable[Part], dropped: list[str]) -> list[Block]:
    blocks: list[Block] = []
    for part in parts:
        match part:
            case Text():
                blocks += _texts([part])
            case Image():
                if part.detail not in ("", "auto"):
                    dropped.append("image_url.detail")
                if not part.data:
                    words = "'image_url.url': a picture must come as a data: URL in base64 here, not as an address."
                    raise BadRequest(words, param="messages", sent=False)
                blocks.append(_inline(part.media_type, part.data))
            case Audio():
                blocks.append(_inline(f"audio/{part.format or 'wav'}", part.data))
            case File():
                blocks.append(_inline(part.media_type, part.data))
    return blocks


def _texts(parts: Iterable[Text]) -> list[Block]:
    """Empty ones are refused there."""
    return [{"text": part.text} for part in parts if part.text]


def _inline(media_type: str, data: str) -> Block:
    return {"inlineData": {"mimeType": media_type, "data": data}}


# -- tools and settings ---------------------------------------------------------------


def _tool(tool: Tool, target: Target, said: list[str]) -> Block:
    declared: Block = {"name": tool.name}
    if tool.description:
        declared["description"] = tool.description
    missing: set[str] = set()
    schema = without(msgspec.json.decode(tool.schema), target.kind.schema_drops, missing)
    said += [f"'{name}' of a tool's schema was dropped: {target.kind.name} may refuse it." for name in sorted(missing)]
    return declared | {"parametersJsonSchema": schema}


def _choice(asked: Asked) -> Block:
    if not asked.choice:
        return {}
    mode: Block = {"mode": _MODES[asked.choice]}
    return mode | {"allowedFunctionNames": [asked.chosen]} if asked.choice == "tool" else mode


def _config(asked: Asked, target: Target, dropped: list[str], said: list[str]) -> Block:
    config: Block = {"maxOutputTokens": asked.longest, "stopSequences": asked.stop or None, "seed": asked.seed}
    sampling = {"temperature": asked.temperature, "topP": asked.top_p}
    if target.parameters.get("sampling_params") is False:
        names = [name for name in ("temperature", "top_p") if getattr(asked, name) is not None]
        said += [f"'{name}' was dropped: {target.model} does not heed it." for name in names]
    else:
        config |= sampling
    if generation(target.model) < (3, 0):
        config |= {field: asked.rest.pop(name, None) for name, field in _PENALTIES.items()}
    if asked.schema is not None:
        config["responseMimeType"] = "application/json"
        if asked.schema.schema is not None:
            schema = msgspec.json.decode(asked.schema.schema)
            config["responseJsonSchema"] = without(schema, target.kind.schema_drops, set())
    if thinking := _thinking(asked.effort, target.model, dropped, said):
        config["thinkingConfig"] = thinking
    return {name: value for name, value in config.items() if value is not None}


def _thinking(effort: str, model: str, dropped: list[str], said: list[str]) -> Block:
    if not effort:
        return {}
    made_in = generation(model)
    if effort not in _LEVELS or made_in < (2, 5):
        dropped.append("reasoning_effort")
        return {}
    if made_in >= (3, 0):
        level = _LEVELS[effort]
        if level == "minimal" and "pro" in model:
            level = "low"  # the least that the large ones take
        if level != effort:
            said.append(f"'reasoning_effort' was sent as {level}: {model} does not take {effort}.")
        return {"thinkingLevel": level, "includeThoughts": effort != "none"}
    budget = _BUDGETS[effort]
    if not budget and "pro" in model:
        budget = _SHORTEST_BUDGET_OF_PRO
        said.append(f"'reasoning_effort' was sent as {budget} tokens: {model} always thinks.")
    return {"thinkingBudget": budget, "includeThoughts": effort != "none"}


# -- what is kept of an answer for the next request ----------------------------------------


class Signed(msgspec.Struct, omit_defaults=True, frozen=True):
    """A signature, and which of the calls it came with; none of them when it came with the text."""

    signature: str
    call: int | None = None


_signed = msgspec.json.Decoder(list[Signed])


def state_of(signatures: list[Signed]) -> str:
    return msgspec.json.encode(signatures).decode() if signatures else ""


def _signatures(turn: Turn, dropped: list[str]) -> dict[int | None, str]:
    return {one.call: one.signature for one in kept_of(turn, _signed, dropped)}

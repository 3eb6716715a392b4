"""What a chat completion asks for, opened up: for wires that cannot take the client's own bytes.

The OpenAI wire forwards most of a request unread. Every other wire reads it once, here, into values that say the same
in nobody's words; what a wire has no word for is left in `rest`, so that it can be warned about and is never forgotten.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Literal, TypeVar

import msgspec

from providers.chat import ChatRequest, Fields
from providers.errors import BadRequest
from providers.wiring import Target

T = TypeVar("T")


class Text(msgspec.Struct, frozen=True):
    text: str
    cache: bool = False  # the client marked it as worth keeping in the provider's cache


class Image(msgspec.Struct, frozen=True):
    """Either an address or the bytes themselves, in base64."""

    url: str = ""
    media_type: str = ""
    data: str = ""
    detail: str = ""


class Audio(msgspec.Struct, frozen=True):
    data: str
    format: str


class File(msgspec.Struct, frozen=True):
    media_type: str
    data: str
    name: str = ""


Part = Text | Image | Audio | File


class Call(msgspec.Struct, frozen=True):
    id: str
    name: str
    arguments: str  # JSON of an object; "{}" when the model gave none


class Turn(msgspec.Struct):
    """One message that is not the system's. A `tool` turn answers the call `call_id`."""

    role: Literal["user", "assistant", "tool"]
    parts: list[Part] = msgspec.field(default_factory=list)
    calls: list[Call] = msgspec.field(default_factory=list)
    call_id: str = ""
    name: str = ""
    reasoning: str = ""
    state: str = ""  # what this vendor, and only this one, gave with the answer to be sent back

    @property
    def text(self) -> str:
        return "".join(part.text for part in self.parts if isinstance(part, Text))


class Tool(msgspec.Struct, frozen=True):
    name: str
    description: str = ""
    schema: msgspec.Raw = msgspec.Raw(b'{"type":"object","properties":{}}')
    strict: bool | None = None


class Schema(msgspec.Struct, frozen=True):
    """The answer must be JSON of this shape; without a schema, any JSON object."""

    schema: msgspec.Raw | None = None
    name: str = "answer"
    strict: bool | None = None


class Asked(msgspec.Struct):
    system: list[Text] = msgspec.field(default_factory=list)
    turns: list[Turn] = msgspec.field(default_factory=list)
    tools: list[Tool] = msgspec.field(default_factory=list)
    choice: str = ""  # "", "auto", "none", "required", or "tool" with `chosen`
    chosen: str = ""
    parallel: bool | None = None
    longest: int | None = None  # tokens of the answer
    temperature: float | None = None
    top_p: float | None = None
    stop: list[str] = msgspec.field(default_factory=list)
    seed: int | None = None
    effort: str = ""  # none, minimal, low, medium, high, xhigh, max
    schema: Schema | None = None
    user: str = ""
    rest: dict[str, Any] = msgspec.field(default_factory=dict)  # other fields with a value, decoded


STATE = "relayhouse_state"  # of an assistant message: {"vendor": slug of a kind, "data": text}
_IGNORED = frozenset({"model", "stream", "stream_options"})
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w=.+-]+)*;base64,(.*)", re.DOTALL)


def read(request: ChatRequest, target: Target) -> Asked:
    """Raises BadRequest, naming the field, for what no provider could understand."""
    fields = {name: raw for name, raw in request.fields.items() if bytes(raw) != b"null" and name not in _IGNORED}
    asked = Asked()
    _read_messages(fields, asked, target.kind.slug)
    asked.tools = [_tool(one, f"tools[{n}]") for n, one in enumerate(_take(fields, "tools", list[Any]) or ())]
    _read_choice(_take(fields, "tool_choice", Any), asked)
    asked.parallel = _take(fields, "parallel_tool_calls", bool)
    newer, older = _take(fields, "max_completion_tokens", int), _take(fields, "max_tokens", int)
    asked.longest = newer or older or _default(target, "max_tokens", int)
    asked.temperature = _take(fields, "temperature", float)
    if asked.temperature is None:
        asked.temperature = _default(target, "temperature", float)
    asked.top_p = _take(fields, "top_p", float)
    stop = _take(fields, "stop", str | list[str])
    asked.stop = [stop] if isinstance(stop, str) else stop or []
    asked.seed = _take(fields, "seed", int)
    asked.effort = _take(fields, "reasoning_effort", str) or ""
    asked.schema = _schema(_take(fields, "response_format", Any))
    asked.user = _take(fields, "safety_identifier", str) or _take(fields, "user", str) or ""
    fields.pop("user", None)
    if fields.get("n") is not None and bytes(fields["n"]) == b"1":
        del fields["n"]
    asked.rest = {name: msgspec.json.decode(raw) for name, raw in fields.items()}
    return asked


def warnings_for(asked: Asked, target: Target, *names: str) -> list[str]:
    """One for each field that this wire has no word for: those in `rest`, and `names` that the adapter left out."""
    return [f"'{name}' was dropped: {target.kind.name} does not take it." for name in (*asked.rest, *names)]


def _default(target: Target, name: str, kind: type[T]) -> T | None:
    try:
        return msgspec.convert(target.options.get(name), kind | None)
    except msgspec.ValidationError:
        return None


def _take(fields: Fields, name: str, kind: Any) -> Any:
    raw = fields.pop(name, None)
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _wrong(name, str(error)) from None


def _wrong(param: str, words: str) -> BadRequest:
    return BadRequest(f"'{param}': {words[:200].rstrip('.')}.", param=param, sent=False)


# -- messages -----------------------------------------------------------------------


def _read_messages(fields: Fields, asked: Asked, vendor: str) -> None:
    for number, message in enumerate(_take(fields, "messages", list[dict[str, Any]]) or ()):
        where = f"messages[{number}]"
        role = message.get("role")
        parts = _parts(message.get("content"), where)
        match role:
            case "system" | "developer":
                asked.system += [part for part in parts if isinstance(part, Text)]
            case "user":
                asked.turns.append(Turn("user", parts, name=_string(message, "name")))
            case "assistant":
                asked.turns.append(_assistant(message, parts, vendor, where))
            case "tool" | "function":
                name = _string(message, "name")
                asked.turns.append(Turn("tool", parts, call_id=_string(message, "tool_call_id") or name, name=name))
            case _:
                raise _wrong(f"{where}.role", "must be one of system, developer, user, assistant, tool")


def _assistant(message: dict[str, Any], parts: list[Part], vendor: str, where: str) -> Turn:
    given = message.get("tool_calls") or []
    if not isinstance(given, list):
        raise _wrong(f"{where}.tool_calls", "must be a list")
    calls = [_call(call, f"{where}.tool_calls[{n}]") for n, call in enumerate(given)]
    old = message.get("function_call")
    if isinstance(old, dict):
        calls.append(_call({"id": "", "function": old}, f"{where}.function_call"))
    if not parts and isinstance(message.get("refusal"), str):
        parts = [Text(message["refusal"])]
    kept = message.get(STATE)
    state = kept.get("data") if isinstance(kept, dict) and kept.get("vendor") == vendor else None
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    return Turn(
        "assistant",
        parts,
        calls,
        reasoning=reasoning if isinstance(reasoning, str) else "",
        state=state if isinstance(state, str) else "",
    )


def _call(call: Any, where: str) -> Call:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise _wrong(where, "needs a function with a name")
    arguments = function.get("arguments") or "{}"
    if not isinstance(arguments, str):
        arguments = msgspec.json.encode(arguments).decode()
    try:
        if not isinstance(msgspec.json.decode(arguments), dict):
            raise _wrong(f"{where}.function.arguments", "must be the JSON of an object")
    except (msgspec.DecodeError, RecursionError):
        raise _wrong(f"{where}.function.arguments", "is not valid JSON") from None
    return Call(_string(call, "id"), function["name"], arguments)


def _string(message: dict[str, Any], name: str) -> str:
    value = message.get(name)
    return value if isinstance(value, str) else ""


def _parts(content: Any, where: str) -> list[Part]:
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [Text(content)]
    if not isinstance(content, list):
        raise _wrong(f"{where}.content", "must be text or a list of parts")
    return [_part(part, f"{where}.content[{n}]") for n, part in enumerate(content)]


def _part(part: Any, where: str) -> Part:
    if isinstance(part, str):
        return Text(part)
    kind = part.get("type") if isinstance(part, dict) else None
    match kind:
        case "text" | "input_text" | "output_text" if isinstance(part.get("text"), str):
            return Text(part["text"], cache="cache_control" in part)
        case "refusal" if isinstance(part.get("refusal"), str):
            return Text(part["refusal"])
        case "image_url" | "input_image":
            return _image(part, where)
        case "input_audio" if isinstance(part.get("input_audio"), dict):
            sound = part["input_audio"]
            return Audio(_string(sound, "data"), _string(sound, "format"))
        case "file" if isinstance(part.get("file"), dict):
            media_type, data = data_of(_string(part["file"], "file_data"))
            if data:
                return File(media_type or "application/pdf", data, _string(part["file"], "filename"))
    raise _wrong(where, "is no part that is known here: text, image_url, input_audio or file with file_data")


def _image(part: dict[str, Any], where: str) -> Image:
    given = part.get("image_url")
    url = given.get("url") if isinstance(given, dict) else given
    detail = given.get("detail") if isinstance(given, dict) else part.get("detail")
    if not isinstance(url, str) or not url:
        raise _wrong(f"{where}.image_url", "needs a url")
    detail = detail if isinstance(detail, str) else ""
    media_type, data = data_of(url)
    if data:
        return Image(media_type=media_type or "image/png", data=data, detail=detail)
    if not url.startswith(("https://", "http://")):
        raise _wrong(f"{where}.image_url.url", "must be an https:// address or a data: URL in base64")
    return Image(url=url, detail=detail)


def data_of(url: str) -> tuple[str, str]:
    """Media type and base64 of a data: URL; nothing of any other."""
    found = _DATA_URL.fullmatch(url)
    return (found[1] or "", found[2]) if found else ("", "")


# -- tools and formats --------------------------------------------------------------


def _tool(value: Any, where: str) -> Tool:
    function = value.get("function") if isinstance(value, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise _wrong(where, "must be a function with a name")
    strict = function.get("strict")
    schema = function.get("parameters")
    return Tool(
        function["name"],
        _string(function, "description"),
        msgspec.Raw(msgspec.json.encode(schema)) if isinstance(schema, dict) and schema else Tool("").schema,
        strict if isinstance(strict, bool) else None,
    )


def _read_choice(value: Any, asked: Asked) -> None:
    match value:
        case None:
            return
        case "auto" | "none" | "required":
            asked.choice = value
        case {"type": "function", "function": {"name": str(name)}}:
            asked.choice, asked.chosen = "tool", name
        case _:
            raise _wrong("tool_choice", "must be auto, none, required, or a function by name")


def _schema(value: Any) -> Schema | None:
    match value:
        case None | {"type": "text"}:
            return None
        case {"type": "json_object"}:
            return Schema()
        case {"type": "json_schema", "json_schema": {"schema": dict(schema), **more}}:
            strict, name = more.get("strict"), more.get("name")
            return Schema(
                msgspec.Raw(msgspec.json.encode(schema)),
                name if isinstance(name, str) and name else "answer",
                strict if isinstance(strict, bool) else None,
            )
    raise _wrong("response_format", "must be text, json_object, or json_schema with a schema")


def fit_ids(ids: Iterable[str], pattern: re.Pattern[str]) -> dict[str, str]:
    """Call ids as a stricter vendor takes them: those that fit as they are, the others under a made-up one."""
    fitting: dict[str, str] = {}
    for number, name in enumerate(ids):
        if name not in fitting:
            fitting[name] = name if pattern.fullmatch(name) else f"call_{number}"
    return fitting


def kept_of(turn: Turn, decoder: msgspec.json.Decoder[list[T]], dropped: list[str]) -> list[T]:
    """The state of a turn, opened. It went through the client's hands, so it is looked at."""
    if not turn.state:
        return []
    try:
        return decoder.decode(turn.state)
    except (msgspec.DecodeError, RecursionError):
        dropped.append(STATE)
        return []

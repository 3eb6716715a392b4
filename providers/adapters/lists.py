"""An entry of a list of models, as far as vendors of the OpenAI wire agree on what is in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from providers.wiring import ListedModel

_LONGEST_ID = 200
_WINDOWS = ("max_model_len", "context_length", "context_window", "max_context_length", "loaded_context_length")
_LONGEST = ("max_output_tokens", "max_completion_tokens", "max_output_length")
_EMBEDS = re.compile(r"embed|minilm|(?:^|[/-])(?:bge|gte|e5|voyage)-", re.IGNORECASE)

# What some say in one place or the other, and how we call it.
_ABILITIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("tools", ("function_calling", "supports_tools", "trained_for_tool_use")),
    ("vision", ("vision", "supports_image_in")),
    ("reasoning", ("reasoning", "supports_reasoning")),
    ("json", ("supports_structured_output",)),
)
_PARAMETERS = {"tools": "tools", "reasoning": "reasoning", "json": "structured_outputs"}


def looks_embedding(name: str) -> bool:
    """By its name alone, where nobody says what a model is for."""
    return bool(_EMBEDS.search(name))


def listed(entry: Any) -> ListedModel | None:
    if not isinstance(entry, dict):
        return None
    name = entry.get("id")
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_ID or not name.isprintable():
        return None
    served = [one for one in _list(entry, "providers") if isinstance(one, dict) and one.get("status") != "error"]
    windows = [count for one in served if (count := _first_count(one, _WINDOWS))]
    more = {**_object(entry, "dmr"), **entry}
    longest = {**_object(entry, "top_provider"), **entry}
    title = entry.get("name")
    title = title if isinstance(title, str) and title.isprintable() else ""
    return ListedModel(
        name,
        _first_count(more, _WINDOWS) or max(windows, default=None),
        _first_count(longest, _LONGEST),
        _embeds(name, entry),
        title[:_LONGEST_ID],
        _capabilities(entry, served),
    )


def _embeds(name: str, entry: Mapping[str, Any]) -> bool:
    said = entry.get("type")
    if isinstance(said, str):
        return said in ("embedding", "embeddings")
    makes = _list(_object(entry, "architecture"), "output_modalities") or _list(entry, "output_modalities")
    if makes:
        return "embeddings" in makes or "embedding" in makes or ("text" not in makes and looks_embedding(name))
    return looks_embedding(name)


def _capabilities(entry: Mapping[str, Any], served: Iterable[Mapping[str, Any]]) -> dict[str, bool]:
    said: dict[str, bool] = {}
    places = [_object(entry, "capabilities"), entry, *served]
    for ability, names in _ABILITIES:
        told = [place[name] for place in places for name in names if isinstance(place.get(name), bool)]
        if told:
            said[ability] = any(told)
    takes = _list(_object(entry, "architecture"), "input_modalities") or _list(entry, "input_modalities")
    if takes:
        said["vision"] = "image" in takes
    parameters = _list(entry, "supported_parameters")
    if parameters:
        said |= {ability: name in parameters for ability, name in _PARAMETERS.items()}
    return said


def _object(entry: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = entry.get(name)
    return value if isinstance(value, dict) else {}


def _list(entry: Mapping[str, Any], name: str) -> list[Any]:
    value = entry.get(name)
    return value if isinstance(value, list) else []


def _first_count(entry: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    for name in names:
        count = entry.get(name)
        if isinstance(count, int) and not isinstance(count, bool) and 0 < count < 2**31:
            return count
    return None

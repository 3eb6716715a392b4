"""Lists of models: what reading one takes on any wire, and what vendors of the OpenAI wire agree to say in one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import msgspec

from providers.adapters import refusals
from providers.errors import ProviderError
from providers.wiring import HttpAnswer, ListedModel, Target

MOST_MODELS = 5_000
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


# -- on any wire --------------------------------------------------------------------


def read_object(answer: HttpAnswer, target: Target) -> Mapping[str, Any]:
    """Empty when it is JSON of another shape."""
    value = read_json(answer, target)
    return value if isinstance(value, dict) else {}


def read_json(answer: HttpAnswer, target: Target) -> Any:
    try:
        return msgspec.json.decode(answer.body)
    except refusals.UNREADABLE:
        raise refusals.unreadable(target, "sent a list of models that is not JSON.") from None


def no_list(target: Target) -> ProviderError:
    return refusals.unreadable(target, "sent no list of models where one belongs.")


def shown(models: Iterable[ListedModel | None], target: Target) -> list[ListedModel]:
    """Each of them once, without those that its kind hides and those that were none (None)."""
    hidden = re.compile(target.kind.hides) if target.kind.hides else None
    once = {model.id: model for model in islice(models, MOST_MODELS) if model is not None}
    return [model for model in once.values() if hidden is None or not hidden.search(model.id)]


def id_in(entry: Any, *names: str) -> str | None:
    """The first of these that says something."""
    return id_of(next((entry[name] for name in names if entry.get(name)), None)) if isinstance(entry, dict) else None


def id_of(said: Any) -> str | None:
    """None when it is no name that could be asked for."""
    return said if isinstance(said, str) and 0 < len(said) <= _LONGEST_ID and said.isprintable() else None


def title_in(entry: Mapping[str, Any], name: str) -> str:
    title = entry.get(name)
    return title[:_LONGEST_ID] if isinstance(title, str) and title.isprintable() else ""


def count_in(entry: Mapping[str, Any], *names: str) -> int | None:
    """The first of these that is a number of tokens."""
    return next((count for name in names if (count := _count(entry.get(name)))), None)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31 else None


def object_in(entry: Any, name: str) -> Mapping[str, Any]:
    value = entry.get(name) if isinstance(entry, dict) else None
    return value if isinstance(value, dict) else {}


def list_in(entry: Mapping[str, Any], name: str) -> list[Any]:
    value = entry.get(name)
    return value if isinstance(value, list) else []


# -- on the OpenAI wire ---------------------------------------------------------------


def looks_embedding(name: str) -> bool:
    """By its name alone, where nobody says what a model is for."""
    return bool(_EMBEDS.search(name))


def listed(entry: Any) -> ListedModel | None:
    name = id_in(entry, "id")
    if name is None:
        return None
    served = [one for one in list_in(entry, "providers") if isinstance(one, dict) and one.get("status") != "error"]
    windows = [count for one in served if (count := count_in(one, *_WINDOWS))]
    more = {**object_in(entry, "dmr"), **entry}
    longest = {**object_in(entry, "top_provider"), **entry}
    return ListedModel(
        name,
        count_in(more, *_WINDOWS) or max(windows, default=None),
        count_in(longest, *_LONGEST),
        _embeds(name, entry),
        title_in(entry, "name"),
        _capabilities(entry, served),
    )


def _embeds(name: str, entry: Mapping[str, Any]) -> bool:
    said = entry.get("type")
    if isinstance(said, str):
        return said in ("embedding", "embeddings")
    makes = list_in(object_in(entry, "architecture"), "output_modalities") or list_in(entry, "output_modalities")
    if makes:
        return "embeddings" in makes or "embedding" in makes or ("text" not in makes and looks_embedding(name))
    return looks_embedding(name)


def _capabilities(entry: Mapping[str, Any], served: Iterable[Mapping[str, Any]]) -> dict[str, bool]:
    said: dict[str, bool] = {}
    places = [object_in(entry, "capabilities"), entry, *served]
    for ability, names in _ABILITIES:
        told = [place[name] for place in places for name in names if isinstance(place.get(name), bool)]
        if told:
            said[ability] = any(told)
    takes = list_in(object_in(entry, "architecture"), "input_modalities") or list_in(entry, "input_modalities")
    if takes:
        said["vision"] = "image" in takes
    parameters = list_in(entry, "supported_parameters")
    if parameters:
        said |= {ability: name in parameters for ability, name in _PARAMETERS.items()}
    return said

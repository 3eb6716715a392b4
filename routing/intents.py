"""What is it for? Intents as clients write them: `auto/code_generation/economy`, headers, metadata.

The name of the model comes first, then headers, then metadata, then what the key says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import structs

from providers.chat import Fields

AUTO = "auto"
LONGEST = 200  # of a user, a session, a tag
MOST_TAGS = 20
HEADERS = {
    "use_case": b"x-relayhouse-use-case",
    "budget_tier": b"x-relayhouse-budget-tier",
    "complexity": b"x-relayhouse-complexity",
    "tags": b"x-relayhouse-tags",
    "user": b"x-relayhouse-user",
    "session": b"x-relayhouse-session",
}
_HEADERS = frozenset(HEADERS.values())
COMPLEXITIES = ("", "low", "medium", "high")

_object = msgspec.json.Decoder(dict[str, Any] | None)
_string = msgspec.json.Decoder(str)


class Hints(msgspec.Struct, frozen=True):
    """What a request says of itself beside the model it names."""

    use_case: str = ""
    tier: str = ""
    complexity: str = ""
    tags: tuple[str, ...] = ()
    user: str = ""
    session: str = ""


NONE = Hints()


class Unreadable(Exception):
    """A hint that is none: which, and what is wrong with it."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name
        self.message = message


def is_open(model: str) -> bool:
    """Whether the model is left to the house."""
    return not model or model == AUTO or model.strip() == AUTO or model.startswith("auto/")


def named_in(model: str) -> tuple[str, str]:
    """The use case and the tier of `auto/code_generation/economy`; empty where it names none."""
    if not model.startswith("auto/"):
        return "", ""
    _, use_case, tier = (*model.split("/", 2), "")[:3]
    return use_case.strip(), tier.strip()


def taken(
    model: str, headers: Mapping[bytes, bytes], fields: Fields, *, use_case: str = "", tier: str = ""
) -> tuple[Hints, Mapping[str, Any]]:
    """The hints of a request, and its metadata. Those given in metadata are for us: they are taken out of `fields`.
    `use_case` and `tier` are what the key says where the request does not."""
    metadata = _metadata(fields)
    if metadata or "user" in fields or model.startswith("auto/") or not _HEADERS.isdisjoint(headers):
        hints = read(model, headers, _with_user(metadata, fields))
        _take_out(metadata, fields)
    else:
        hints = NONE
    if (use_case or tier) and is_open(model):
        hints = structs.replace(hints, use_case=hints.use_case or use_case, tier=hints.tier or tier)
    return hints, metadata


def _metadata(fields: Fields) -> dict[str, Any]:
    raw = fields.get("metadata")
    if raw is None:
        return {}
    try:
        return _object.decode(raw) or {}
    except msgspec.DecodeError:
        return {}  # whoever it is for will say what is wrong with it


def _with_user(metadata: dict[str, Any], fields: Fields) -> dict[str, Any]:
    try:
        return {"user": _string.decode(fields["user"]), **metadata} if "user" in fields else metadata
    except msgspec.DecodeError:
        return metadata


def _take_out(metadata: dict[str, Any], fields: Fields) -> None:
    left = {name: value for name, value in metadata.items() if name not in HEADERS}
    if len(left) == len(metadata):
        return
    if left:
        fields["metadata"] = msgspec.Raw(msgspec.json.encode(left))
    else:
        del fields["metadata"]


def read(model: str, headers: Mapping[bytes, bytes], metadata: Mapping[str, Any]) -> Hints:
    said: dict[str, Any] = {name: metadata[name] for name in HEADERS if name in metadata}
    for name, header in HEADERS.items():
        value = headers.get(header)
        if value:
            said[name] = value.decode("utf-8", "replace")
    use_case, tier = named_in(model)
    return Hints(
        use_case=use_case or _text(said, "use_case").strip(),
        tier=tier or _text(said, "budget_tier").strip(),
        complexity=_complexity(_text(said, "complexity").strip().lower()),
        tags=_tags(said.get("tags")),
        user=_text(said, "user"),
        session=_text(said, "session"),
    )


def _text(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name, "")
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise Unreadable(name, f"'{name}' must be a text.")
    text = str(value)
    if len(text) > LONGEST:
        raise Unreadable(name, f"'{name}' has at most {LONGEST} characters.")
    return text


def _complexity(said: str) -> str:
    if said not in COMPLEXITIES:
        raise Unreadable("complexity", "'complexity' must be low, medium or high.")
    return said


def _tags(said: Any) -> tuple[str, ...]:
    """A list in metadata, or one text with commas."""
    tags = [each.strip() for each in said.split(",")] if isinstance(said, str) else said or []
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise Unreadable("tags", "'tags' must be a list of texts, or one with commas.")
    tags = list(dict.fromkeys(filter(None, tags)))
    if len(tags) > MOST_TAGS or any(len(tag) > LONGEST for tag in tags):
        raise Unreadable("tags", f"At most {MOST_TAGS} tags of at most {LONGEST} characters.")
    return tuple(tags)

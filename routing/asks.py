"""What was asked, by whom and what for: the whole question of a decision, but for its content."""

from __future__ import annotations

from typing import Any

import msgspec


class Ask(msgspec.Struct, frozen=True):
    """A request with its context. What only some rule reads is worked out when there is such a rule."""

    request_id: str
    model: str  # as the client wrote it; empty means "auto"
    team_id: int | None = None
    user_id: int | None = None
    key_id: int | None = None
    allowed_models: frozenset[str] = frozenset()  # model strings, bare ids or aliases; empty: all
    use: str = "chat"
    purpose: str = "api"
    # What it is for, as the client or its key says.
    use_case: str = ""
    tier: str = ""
    complexity: str = ""  # low, medium, high; empty: estimated
    tags: tuple[str, ...] = ()
    end_user: str = ""  # whom the client says it is for
    session: str = ""
    # What was worked out from it.
    input_tokens: int = 0
    output_tokens: int = 0  # of the longest answer it asks for; 0: left open
    needs: frozenset[str] = frozenset()
    language: str = ""
    estimated: tuple[str, ...] = ()  # why its complexity was taken for what it is
    # Of these only what some rule names, in small letters.
    headers: tuple[tuple[str, str], ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()
    # Of the team, from the snapshot.
    team: str = ""  # its slug
    data_policy: str = ""

    def unit(self, of: str) -> str:
        """What keeps to one side of a flag, or to one arm: this user, team, key, session. Empty: there is none."""
        if of == "user":
            return self.end_user or (f"person {self.user_id}" if self.user_id is not None else "")
        if of == "team":
            return f"team {self.team_id}" if self.team_id is not None else ""
        if of == "key":
            return f"key {self.key_id}" if self.key_id is not None else ""
        return self.session if of == "session" else self.request_id


def told(ask: Ask) -> dict[str, Any]:
    """As it is stored with the request: enough to decide again, without what stands in columns of the request."""
    kept: dict[str, Any] = {
        name: value
        for name in ("complexity", "end_user", "input_tokens", "output_tokens", "language", "data_policy")
        if (value := getattr(ask, name))
    }
    kept |= {name: list(value) for name in ("tags", "estimated") if (value := getattr(ask, name))}
    kept |= {name: dict(value) for name in ("headers", "metadata") if (value := getattr(ask, name))}
    if ask.needs:
        kept["needs"] = sorted(ask.needs)
    return kept


_encoder = msgspec.json.Encoder()


def as_json(ask: Ask) -> bytes:
    kept = told(ask)
    return _encoder.encode(kept) if kept else b"null"

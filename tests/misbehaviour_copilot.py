"""Microsoft 365 Copilot through Graph, for the suite that every kind must pass: see test_contract.py."""

from __future__ import annotations

import json
from typing import Any

from providers.registry import Kind
from tests.cloud import Answer, pieces, whole
from tests.upstream import Seen

# It takes text alone and counts no tokens; nothing there is bought by the token or named by a model.
LACKS = frozenset({"tools", "vision", "usage", "404", "too-long", "no-money"})

_WORDS = ("Hello", " from", " upstream", ".")


def _conversation(*texts: str) -> dict[str, Any]:
    return {"id": "c-1", "state": "active", "turnCount": 1, "messages": [{"text": text} for text in texts]}


def _event(body: Any) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def _refusal(status: int, code: str, **headers: str) -> Answer:
    return whole({"error": {"code": code, "message": "It was refused."}}, status, **headers)


_REFUSALS = {
    "401": _refusal(401, "InvalidAuthenticationToken"),
    "429": _refusal(429, "TooManyRequests", retry_after="7"),
    "500": _refusal(500, "InternalServerError"),
}
_BROKEN = {"id": "c-1", "error": {"code": "generalException", "message": "It broke."}}


def contract(scenario: str, seen: Seen, kind: Kind) -> Answer:
    if scenario in _REFUSALS:
        return _REFUSALS[scenario]
    if seen.path.endswith("/conversations"):
        return whole({"id": "c-1", "state": "active", "turnCount": 0}, 201)
    question = seen.json["message"]["text"]
    if not seen.path.endswith("OverStream"):
        return whole(_BROKEN if scenario == "error-200" else _conversation(question, "".join(_WORDS)))
    if scenario == "error-200":
        return pieces(_event(_BROKEN), content_type="text/event-stream")
    snapshots = [_event(_conversation("".join(_WORDS[: n + 1]))) for n in range(len(_WORDS))]
    if scenario == "cut":
        return pieces(*snapshots[:2], content_type="text/event-stream", cut=True)
    return pieces(_event(_conversation(question)), *snapshots, content_type="text/event-stream")

"""What is there to know of a request before a model is chosen for it? Worked out only where somebody will look."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import structs

from providers.chat import Fields
from routing import complexity
from routing.asks import Ask
from routing.fitting import needs_of
from routing.languages import language_of_request
from routing.settlement import asked_for
from routing.snapshot import Snapshot

LONGEST_VALUE = 200  # of a header or of metadata that some rule names


def completed(
    ask: Ask,
    fields: Fields,
    snapshot: Snapshot,
    count: Callable[[], int],
    headers: Mapping[bytes, bytes],
    metadata: Mapping[str, Any],
) -> Ask:
    """The same ask with what a route may look at. `count` estimates its tokens."""
    reads = snapshot.routing.reads
    known: dict[str, Any] = {
        "input_tokens": count(),
        "output_tokens": asked_for(fields),
        "needs": needs_of(fields),
    }
    if not ask.complexity:
        found = complexity.estimate(fields)
        known |= {"complexity": found.level, "estimated": found.reasons}
    if "language" in reads:
        known["language"] = language_of_request(fields)
    wanted = [name.partition(":")[2] for name in reads if name.startswith("header:")]
    if wanted:
        known["headers"] = tuple((name, _text(value)) for name in wanted if (value := headers.get(name.encode())))
    wanted = [name.partition(":")[2] for name in reads if name.startswith("metadata:")]
    if wanted:
        small = {name.lower(): value for name, value in metadata.items()}
        known["metadata"] = tuple((name, _text(small[name])) for name in wanted if name in small)
    return structs.replace(ask, **known)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")[:LONGEST_VALUE]
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text[:LONGEST_VALUE]

"""Where does this unit fall? The same unit under the same salt is always at the same place, from 0 up to 1."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

_STEPS = float(1 << 53)  # as many as a float tells apart


def place(unit: str, salt: str) -> float:
    """A salt carries its version: another one deals the cards anew. Two salts have nothing to do with each other."""
    digest = hashlib.sha256(f"{salt}\n{unit}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / _STEPS


def pick(weights: Sequence[float], at: float) -> int:
    """The number of the share in which the place lies. Where all weigh nothing, they are alike."""
    total = sum(weights)
    if not total:
        return min(int(at * len(weights)), len(weights) - 1)
    left = at * total
    for number, weight in enumerate(weights):
        left -= weight
        if left < 0:
            return number
    return max(number for number, weight in enumerate(weights) if weight)

"""Choices that look free and never differ for the same request: drawn from a hash, never from a clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Draw:
    seed: bytes

    @classmethod
    def of(cls, *values: Any) -> Draw:
        return cls(msgspec.json.encode(values, order="sorted"))

    def below(self, limit: int, purpose: str) -> int:
        """A whole number from 0 up to the limit; each purpose draws on its own."""
        digest = blake2b(purpose.encode() + b"\0" + self.seed, digest_size=8).digest()
        return int.from_bytes(digest, "big") % limit

    def pick(self, options: Sequence[T], purpose: str) -> T:
        return options[self.below(len(options), purpose)]

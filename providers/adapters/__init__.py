"""Which adapter speaks a kind's format. A format without one has its row in the registry, but cannot be used yet."""

from __future__ import annotations

from collections.abc import Mapping

from providers.adapters.openai import OpenAIAdapter
from providers.chat import Wire
from providers.registry import Kind
from providers.wiring import Adapter

ADAPTERS: Mapping[Wire, Adapter] = {Wire.OPENAI: OpenAIAdapter()}


class NotSpoken(LookupError):
    """Relayhouse has no adapter for this format."""


def speaks(kind: Kind) -> bool:
    return kind.wire in ADAPTERS


def adapter_for(kind: Kind) -> Adapter:
    adapter = ADAPTERS.get(kind.wire)
    if adapter is None:
        raise NotSpoken(f"Relayhouse does not speak the format of {kind.name} yet.")
    return adapter

"""Which adapter speaks a kind's format. A format without one has its row in the registry, but cannot be used yet.

A vendor may have a second door, which speaks another format: which one a request is for is decided here and only here.
"""

from __future__ import annotations

from collections.abc import Mapping

from providers.adapters.anthropic import AnthropicAdapter
from providers.adapters.bedrock import BedrockAdapter
from providers.adapters.copilot import CopilotAdapter
from providers.adapters.gemini import GeminiAdapter
from providers.adapters.ollama import OllamaAdapter
from providers.adapters.openai import OpenAIAdapter
from providers.adapters.responses import ResponsesAdapter
from providers.adapters.styles import in_style
from providers.chat import ChatRequest, Wire
from providers.registry import Kind
from providers.wiring import Adapter, Target

ADAPTERS: Mapping[Wire, Adapter] = {
    Wire.OPENAI: OpenAIAdapter(),
    Wire.RESPONSES: ResponsesAdapter(),
    Wire.ANTHROPIC: AnthropicAdapter(),
    Wire.GEMINI: GeminiAdapter(),
    Wire.BEDROCK: BedrockAdapter(),
    Wire.OLLAMA: OllamaAdapter(),
    Wire.COPILOT: CopilotAdapter(),
}


class NotSpoken(LookupError):
    """Relayhouse has no adapter for this format."""


def speaks(kind: Kind) -> bool:
    return kind.wire in ADAPTERS


def adapter_for(kind: Kind) -> Adapter:
    adapter = ADAPTERS.get(kind.wire)
    if adapter is None:
        raise NotSpoken(f"Relayhouse does not speak the format of {kind.name} yet.")
    return adapter


def wire_of(target: Target, request: ChatRequest) -> Wire:
    """The format in which this request is sent: the kind's own, unless its second door is the better one for it."""
    kind = in_style(target).kind
    if not kind.responses_path:
        return kind.wire
    asked_for = target.options.get("wire")
    if asked_for == Wire.RESPONSES or (asked_for != kind.wire and _refuses_tools(target, request)):
        return Wire.RESPONSES
    return kind.wire


def adapter_of(target: Target, request: ChatRequest) -> Adapter:
    """The adapter for one request to one model. Lists, health and embeddings are the kind's: `adapter_for`."""
    wire = wire_of(target, request)
    return ADAPTERS[wire] if wire in ADAPTERS else adapter_for(target.kind)


def _refuses_tools(target: Target, request: ChatRequest) -> bool:
    """Whether the model takes these tools at the first door only without thinking, and is to think."""
    policy = target.parameters.get("tools_on_chat_completions")
    if not policy or bytes(request.fields.get("tools", b"[]")) in (b"[]", b"null"):
        return False
    if policy == "never_use_responses_api":
        return True
    effort = bytes(request.fields.get("reasoning_effort", b"null"))
    return policy == "only_with_reasoning_effort_none" and effort not in (b"null", b'"none"')

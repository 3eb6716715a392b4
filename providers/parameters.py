"""What a model does with the parameters of a request, applied before its adapter sees it.

    max_tokens_param                    the only name of the limit that it knows
    reasoning_model                     it takes no stop and no penalties
    sampling_params                     true, false, or "only_when_effort_none"
    temperature                         "only 1"
    reasoning_efforts                   those it knows, weakest first
    thinking_always_on                  it cannot be told not to think
    tools_on_chat_completions           "only_with_reasoning_effort_none", where there is no second door
    forced_tool_choice                  false: it decides itself whether it calls a tool
    assistant_prefill                   false: a request may not end with a turn of its own

A parameter is dropped with a warning, or changed with one; what cannot be left out is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from providers.chat import ChatRequest, Fields, Wire
from providers.errors import BadRequest, ProviderError

SAMPLING = ("temperature", "top_p", "logprobs", "top_logprobs")
NEVER_WHILE_REASONING = ("stop", "presence_penalty", "frequency_penalty", "logit_bias", "prediction", "audio")
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
# What a request is about, or what keeps its cost down: never left out to please a provider.
KEPT = frozenset(
    """
    messages model stream stream_options tools tool_choice functions function_call response_format
    max_tokens max_completion_tokens n modalities
    """.split()
)
NULL = b"null"

_roles = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


def applied(request: ChatRequest, policy: Mapping[str, Any], model: str, wire: Wire) -> tuple[ChatRequest, list[str]]:
    """The request as this model takes it on this wire, and a warning for each thing that was changed."""
    fields = request.fields.copy()
    warnings: list[str] = []
    if policy.get("assistant_prefill") is False:
        _refuse_prefill(fields, model)
    if wire is Wire.OPENAI:
        _silence_for_tools(fields, policy, model, warnings)
        _rename_limit(fields, policy, model, warnings)
    _choose_effort(fields, policy, model, warnings)
    _drop_sampling(fields, policy, model, warnings)
    if policy.get("forced_tool_choice") is False and not _is(fields, "tool_choice", b'"auto"', b'"none"'):
        fields["tool_choice"] = msgspec.Raw(b'"auto"')
        warnings.append(f"'tool_choice' was sent as 'auto': {model} cannot be made to call a tool.")
    if not warnings:
        return request, warnings
    return msgspec.structs.replace(request, fields=fields), warnings


def without_refused(request: ChatRequest, error: ProviderError) -> tuple[ChatRequest, str] | None:
    """The request without the one parameter that its provider named in a refusal; None when that would not be it."""
    name = error.param
    if type(error) is not BadRequest or error.upstream_status != 400 or name is None:
        return None
    if name in KEPT or name not in request.fields:
        return None
    fields = {each: value for each, value in request.fields.items() if each != name}
    warning = f"'{name}' was dropped: {error.provider} refused it."
    return msgspec.structs.replace(request, fields=fields), warning


def _is(fields: Fields, name: str, *values: bytes) -> bool:
    """Whether it is left out, or one of these."""
    return bytes(fields.get(name, NULL)) in (NULL, *values)


def _refuse_prefill(fields: Fields, model: str) -> None:
    try:
        messages = _roles.decode(fields.get("messages", b"[]"))
    except msgspec.DecodeError:
        return  # whoever reads them says what is wrong
    if messages and bytes(messages[-1].get("role", b"")) == b'"assistant"':
        raise BadRequest(
            f"{model} does not go on from an answer that was begun for it: 'messages' must not end with the assistant.",
            param="messages",
            sent=False,
        )


def _silence_for_tools(fields: Fields, policy: Mapping[str, Any], model: str, warnings: list[str]) -> None:
    """At the first door some models take tools only without thinking, and some not at all."""
    says = policy.get("tools_on_chat_completions")
    if not says or _is(fields, "tools", b"[]"):
        return
    if says == "never_use_responses_api":
        raise BadRequest(f"{model} takes tools only in the Responses format.", param="tools", sent=False)
    if not _is(fields, "reasoning_effort", b'"none"') or policy.get("default_effort") != "none":
        fields["reasoning_effort"] = msgspec.Raw(b'"none"')
        warnings.append(f"'reasoning_effort' was sent as 'none': {model} takes tools only without thinking.")


def _rename_limit(fields: Fields, policy: Mapping[str, Any], model: str, warnings: list[str]) -> None:
    newer = policy.get("max_tokens_param")
    if newer == "max_completion_tokens" and newer not in fields and not _is(fields, "max_tokens"):
        fields[newer] = fields.pop("max_tokens")
        warnings.append(f"'max_tokens' was sent as '{newer}': {model} knows only the newer name.")


def _choose_effort(fields: Fields, policy: Mapping[str, Any], model: str, warnings: list[str]) -> None:
    known = policy.get("reasoning_efforts")
    given = _effort(fields)
    if given == "none" and policy.get("thinking_always_on") is True:
        del fields["reasoning_effort"]
        warnings.append(f"'reasoning_effort' was dropped: {model} always thinks.")
    elif given and known and given not in known:
        nearest = _nearest(given, known)
        fields["reasoning_effort"] = msgspec.Raw(msgspec.json.encode(nearest))
        warnings.append(f"'reasoning_effort' was sent as '{nearest}': {model} does not know '{given}'.")


def _effort(fields: Fields) -> str:
    try:
        effort = msgspec.json.decode(fields.get("reasoning_effort", b'""'))
    except msgspec.DecodeError:
        return ""
    return effort if effort in EFFORTS else ""


def _nearest(given: str, known: list[str]) -> str:
    """The next stronger one, else the strongest: less thought than was asked for may make an answer useless."""
    stronger = [effort for effort in known if EFFORTS.index(effort) >= EFFORTS.index(given)]
    return min(stronger or known[-1:], key=EFFORTS.index)


def _drop_sampling(fields: Fields, policy: Mapping[str, Any], model: str, warnings: list[str]) -> None:
    sampling = policy.get("sampling_params")
    dropped: list[str] = []
    if policy.get("reasoning_model") is True:
        dropped += NEVER_WHILE_REASONING
    thinks = (_effort(fields) or policy.get("default_effort") or "medium") != "none"
    if sampling is False or (sampling == "only_when_effort_none" and thinks):
        dropped += (*SAMPLING, "top_k")
    elif policy.get("temperature") == "only 1":
        dropped.append("temperature")
    for name in dropped:
        harmless = name == "temperature" and _is(fields, name, b"1", b"1.0")
        if not _is(fields, name) and not harmless:
            del fields[name]
            warnings.append(f"'{name}' was dropped: {model} does not take it.")

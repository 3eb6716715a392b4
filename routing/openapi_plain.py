"""The plain endpoints under `/llm/` in OpenAPI's words, under the prefix that this house has set."""

from __future__ import annotations

from typing import Any

_REFUSALS = ("400", "401", "402", "403", "404", "408", "413", "429", "502", "503", "504")
_ERROR = {
    "description": "Refused: see the list of codes in docs/api.md.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/GatewayError"}}},
}
_TEXT, _NUMBER, _INTEGER = {"type": "string"}, {"type": "number"}, {"type": "integer"}
_MAYBE_TEXT, _MAYBE_NUMBER = {"type": ["string", "null"]}, {"type": ["number", "null"]}
_OBJECTS = {"type": "array", "items": {"type": "object"}}


def _object(required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required.split(), "properties": properties}


SCHEMAS: dict[str, Any] = {
    "GenerateRequest": _object(
        "messages",
        messages={"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/ChatMessage"}},
        use_case={"type": "string", "description": "one of `use-cases`; without it the default model answers"},
        budget_tier={"type": "string", "description": "what the answer may cost; the use case has a usual one"},
        complexity={"enum": ["low", "medium", "high"], "description": "estimated where it is left out"},
        temperature=_NUMBER,
        max_tokens={"type": "integer", "minimum": 1},
    ),
    "Generated": _object(
        "content provider model use_case budget_tier latency_ms usage cost_usd fallback_used request_id",
        content=_TEXT,
        provider=_TEXT,
        model=_TEXT,
        use_case=_MAYBE_TEXT,
        budget_tier=_MAYBE_TEXT,
        latency_ms=_INTEGER,
        usage=_object(
            "prompt_tokens completion_tokens total_tokens",
            prompt_tokens=_INTEGER,
            completion_tokens=_INTEGER,
            total_tokens=_INTEGER,
        ),
        cost_usd=_MAYBE_NUMBER | {"description": "null when nobody knows it, or when it is owed in another currency"},
        fallback_used={"type": "boolean"},
        request_id=_TEXT,
    ),
    "PlainProviders": _object(
        "providers",
        providers={
            "type": "array",
            "items": _object(
                "name status models",
                name=_TEXT,
                status={"enum": ["active", "inactive"]},
                reason=_TEXT,
                models={"type": "array", "items": _TEXT},
            ),
        },
    ),
    "PlainUseCases": _object("use_cases tiers", use_cases=_OBJECTS, tiers=_OBJECTS),
    "CostSummary": _object(
        "month time_zone requests tokens cost by_provider by_use_case fallback_rate savings",
        month=_TEXT,
        time_zone=_TEXT,
        requests=_INTEGER,
        tokens={"type": "object", "additionalProperties": _INTEGER},
        cost={"type": "object", "description": "by currency, as text"},
        by_provider=_OBJECTS,
        by_use_case=_OBJECTS,
        fallback_rate=_NUMBER,
        savings={"type": ["object", "null"], "description": "against the baseline model, and how it was reckoned"},
    ),
}
_EXAMPLE = {"messages": [{"role": "user", "content": "Dis bonjour"}], "use_case": "conversation"}


def paths(prefix: str) -> dict[str, Any]:
    return {
        f"{prefix}/generate": {
            "post": _operation("llm_generate", "An answer for a use case and a budget tier", "Generated", _REFUSALS)
            | {"requestBody": {"required": True, "content": _json("GenerateRequest", example=_EXAMPLE)}}
        },
        f"{prefix}/providers": {
            "get": _operation("llm_providers", "Who is connected, who is not, and why", "PlainProviders", ("401",))
        },
        f"{prefix}/use-cases": {
            "get": _operation("llm_use_cases", "What there is to ask for", "PlainUseCases", ("401",))
        },
        f"{prefix}/cost-summary": {
            "get": _operation("llm_cost_summary", "What the key's team has spent", "CostSummary", ("401", "503"))
        },
    }


def _json(schema: str, **more: Any) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}} | more}


def _operation(name: str, summary: str, answer: str, errors: tuple[str, ...]) -> dict[str, Any]:
    return {
        "tags": ["gateway"],
        "summary": summary,
        "operationId": name,
        "security": [{"key": []}],
        "responses": {"200": {"description": "OK", "content": _json(answer)}} | dict.fromkeys(errors, _ERROR),
    }

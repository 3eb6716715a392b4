"""The two other formats of a chat in OpenAPI's words: Messages and Responses."""

from __future__ import annotations

from typing import Any

_TEXT_OR_LIST = {"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]}

SCHEMAS: dict[str, Any] = {
    "MessagesError": {
        "type": "object",
        "required": ["type", "error", "request_id"],
        "properties": {
            "type": {"const": "error"},
            "error": {
                "type": "object",
                "required": ["type", "message"],
                "properties": {
                    "type": {"type": "string"},
                    "message": {"type": "string"},
                    "details": {"type": "object", "description": "`error_code`, `param` and `retryable`"},
                },
            },
            "request_id": {"type": "string"},
        },
    },
    "MessagesRequest": {
        "type": "object",
        "required": ["max_tokens", "messages"],
        "properties": {
            "model": {"type": "string", "description": "a model, an alias, a bare model id, or `auto`"},
            "max_tokens": {"type": "integer", "minimum": 1},
            "system": _TEXT_OR_LIST,
            "messages": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "required": ["role", "content"],
                    "properties": {"role": {"enum": ["user", "assistant"]}, "content": _TEXT_OR_LIST},
                },
            },
            "stream": {"type": "boolean"},
            "temperature": {"type": "number"},
            "top_p": {"type": "number"},
            "stop_sequences": {"type": "array", "items": {"type": "string"}},
            "tools": {"type": "array", "items": {"type": "object"}},
            "tool_choice": {"type": "object"},
            "thinking": {"type": "object"},
            "output_config": {"type": "object"},
            "metadata": {"type": "object"},
        },
    },
    "MessagesCountRequest": {
        "type": "object",
        "required": ["messages"],
        "description": "as for a message; it is not sent",
        "properties": {
            "model": {"type": "string", "description": "a model, an alias, a bare model id, or `auto`"},
            "system": _TEXT_OR_LIST,
            "messages": {"type": "array", "minItems": 1, "items": {"type": "object"}},
            "tools": {"type": "array", "items": {"type": "object"}},
        },
    },
    "MessagesCount": {
        "type": "object",
        "required": ["input_tokens"],
        "properties": {"input_tokens": {"type": "integer", "description": "an estimate"}},
    },
    "Message": {
        "type": "object",
        "required": ["id", "type", "role", "model", "content", "stop_reason", "usage"],
        "properties": {
            "id": {"type": "string"},
            "type": {"const": "message"},
            "role": {"const": "assistant"},
            "model": {"type": "string", "description": "the model that served"},
            "content": {"type": "array", "items": {"type": "object"}},
            "stop_reason": {"type": ["string", "null"]},
            "usage": {"type": "object"},
        },
    },
    "ResponsesRequest": {
        "type": "object",
        "required": ["input"],
        "properties": {
            "model": {"type": "string", "description": "a model, an alias, a bare model id, or `auto`"},
            "input": _TEXT_OR_LIST,
            "instructions": {"type": "string"},
            "stream": {"type": "boolean"},
            "max_output_tokens": {"type": "integer"},
            "temperature": {"type": "number"},
            "top_p": {"type": "number"},
            "tools": {"type": "array", "items": {"type": "object"}},
            "reasoning": {"type": "object"},
            "text": {"type": "object"},
        },
    },
    "Response": {
        "type": "object",
        "required": ["id", "object", "status", "model", "output"],
        "properties": {
            "id": {"type": "string"},
            "object": {"const": "response"},
            "status": {"enum": ["completed", "incomplete"]},
            "model": {"type": "string", "description": "the model that served"},
            "output": {"type": "array", "items": {"type": "object"}},
            "usage": {"type": ["object", "null"]},
        },
    },
}

_STREAM = {"text/event-stream": {"schema": {"type": "object", "description": "events as this format names them"}}}
_REFUSALS = ("400", "401", "402", "403", "404", "408", "413", "429", "502", "503", "504")


def _json(schema: str, **more: Any) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}} | more}


def _chat(
    name: str, summary: str, asked: str, answer: str, error: str, example: dict[str, Any], *, streams: bool = True
) -> dict[str, Any]:
    refused = {"description": "Refused: see the list of codes in docs/api.md.", "content": _json(error)}
    return {
        "post": {
            "tags": ["gateway"],
            "summary": summary,
            "operationId": name,
            "security": [{"key": []}],
            "requestBody": {"required": True, "content": _json(asked, example=example)},
            "responses": {"200": {"description": "OK", "content": _json(answer) | (_STREAM if streams else {})}}
            | dict.fromkeys(_REFUSALS, refused),
        }
    }


PATHS: dict[str, Any] = {
    "/v1/messages": _chat(
        "v1_messages",
        "A chat in Anthropic's Messages format, answered by any model",
        "MessagesRequest",
        "Message",
        "MessagesError",
        {"model": "auto", "max_tokens": 200, "messages": [{"role": "user", "content": "Hello"}]},
    ),
    "/v1/messages/count_tokens": _chat(
        "v1_messages_count_tokens",
        "How many tokens a message would be, without sending it",
        "MessagesCountRequest",
        "MessagesCount",
        "MessagesError",
        {"model": "auto", "messages": [{"role": "user", "content": "Hello"}]},
        streams=False,
    ),
    "/v1/responses": _chat(
        "v1_responses",
        "A chat in OpenAI's Responses format, answered by any model; nothing is stored",
        "ResponsesRequest",
        "Response",
        "GatewayError",
        {"model": "auto", "input": "Hello"},
    ),
}

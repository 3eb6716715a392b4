"""The `/v1` operations in OpenAPI's words. They run beside Django, so they are described by hand, once, here."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from routing import openapi_dialects, openapi_plain

_ERROR = {
    "description": "Refused: see the list of codes in docs/api.md.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/GatewayError"}}},
}

SCHEMAS: dict[str, Any] = {
    "GatewayError": {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["message", "type", "param", "code", "retryable", "request_id"],
                "properties": {
                    "message": {"type": "string"},
                    "type": {"type": "string"},
                    "param": {"type": ["string", "null"]},
                    "code": {"type": "string"},
                    "retryable": {"type": "boolean"},
                    "request_id": {"type": "string"},
                },
            }
        },
    },
    "GatewayModel": {
        "type": "object",
        "required": ["id", "object", "created", "owned_by"],
        "properties": {
            "id": {"type": "string", "description": "`provider:model id`, or an alias"},
            "object": {"const": "model"},
            "created": {"type": "integer"},
            "owned_by": {"type": "string"},
            "context_window": {"type": "integer"},
            "max_output_tokens": {"type": "integer"},
            "capabilities": {
                "type": "array",
                "items": {"type": "string"},
                "description": "what it is known to do: tools, vision, structured_output, reasoning, audio_input …",
            },
            "stage": {"enum": ["preview", "stable", "deprecated", "retired"]},
            "price": {
                "oneOf": [
                    {"const": "unknown", "description": "of a model that nobody can price"},
                    {"$ref": "#/components/schemas/GatewayPrice"},
                ]
            },
        },
    },
    "GatewayPrice": {
        "type": "object",
        "description": "what holds now, amounts as text; long prompts and certain hours may cost otherwise",
        "required": ["currency", "input_per_million", "output_per_million"],
        "properties": {
            "currency": {"type": "string"},
            "input_per_million": {"type": "string"},
            "output_per_million": {"type": "string"},
            "cached_per_million": {"type": "string"},
            "per_request": {"type": "string"},
        },
    },
    "GatewayModels": {
        "type": "object",
        "required": ["object", "data"],
        "properties": {
            "object": {"const": "list"},
            "data": {"type": "array", "items": {"$ref": "#/components/schemas/GatewayModel"}},
        },
    },
    "ChatMessage": {
        "type": "object",
        "required": ["role"],
        "properties": {
            "role": {"type": "string"},
            "content": {
                "oneOf": [
                    {"type": "string"},
                    {"type": "array", "items": {"type": "object"}},
                    {"type": "null"},
                ]
            },
        },
    },
    "ChatCompletionRequest": {
        "type": "object",
        "required": ["messages"],
        "properties": {
            "model": {"type": "string", "description": "a model, an alias, a bare model id, or `auto`"},
            "messages": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/ChatMessage"}},
            "stream": {"type": ["boolean", "null"]},
            "stream_options": {
                "type": ["object", "null"],
                "properties": {"include_usage": {"type": "boolean"}},
            },
            "max_tokens": {"type": ["integer", "null"]},
            "max_completion_tokens": {"type": ["integer", "null"]},
            "temperature": {"type": ["number", "null"]},
            "top_p": {"type": ["number", "null"]},
            "n": {"type": ["integer", "null"]},
            "tools": {"type": "array", "items": {"type": "object"}},
        },
    },
    "ChatCompletion": {
        "type": "object",
        "required": ["id", "object", "model", "choices"],
        "properties": {
            "id": {"type": "string"},
            "object": {"type": "string"},
            "created": {"type": "integer"},
            "model": {"type": "string", "description": "the model that served"},
            "choices": {"type": "array", "items": {"type": "object"}},
            "usage": {"type": ["object", "null"]},
        },
    },
    "EmbeddingsRequest": {
        "type": "object",
        "required": ["input"],
        "properties": {
            "model": {"type": "string", "description": "a model that makes embeddings, an alias, or a bare model id"},
            "input": {
                "description": "a text, or up to 2,048 of them; tokens are not taken",
                "oneOf": [
                    {"type": "string", "minLength": 1},
                    {
                        "type": "array",
                        "items": {"type": "string", "minLength": 1},
                        "minItems": 1,
                        "maxItems": 2048,
                    },
                ],
            },
            "encoding_format": {"enum": ["float", "base64"]},
            "dimensions": {"type": ["integer", "null"], "minimum": 1, "maximum": 65536},
            "user": {"type": ["string", "null"]},
        },
    },
    "Embeddings": {
        "type": "object",
        "required": ["object", "data", "model", "usage"],
        "properties": {
            "object": {"const": "list"},
            "data": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["object", "index", "embedding"],
                    "properties": {
                        "object": {"const": "embedding"},
                        "index": {"type": "integer"},
                        "embedding": {
                            "description": "numbers, or their 32-bit form in base64, as `encoding_format` asks for",
                            "oneOf": [{"type": "array", "items": {"type": "number"}}, {"type": "string"}],
                        },
                    },
                },
            },
            "model": {"type": "string", "description": "the model that served"},
            "usage": {
                "type": "object",
                "required": ["prompt_tokens", "total_tokens"],
                "properties": {"prompt_tokens": {"type": "integer"}, "total_tokens": {"type": "integer"}},
            },
        },
    },
}


_EXAMPLE = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}
_TEXTS = {"model": "demo:relay-1-embed", "input": ["A red bicycle.", "A blue car."]}


_EVENT = {
    "type": "object",
    "properties": {
        "data": {"type": "string", "description": "a chunk as JSON, or `[DONE]` at the end of a whole answer"}
    },
}


def _json(schema: str, **more: Any) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}} | more}


def _operation(summary: str, answer: dict[str, Any], errors: tuple[str, ...], **more: Any) -> dict[str, Any]:
    responses = {"200": {"description": "OK", "content": answer}} | dict.fromkeys(errors, _ERROR)
    return {"tags": ["gateway"], "summary": summary, "security": [{"key": []}], "responses": responses, **more}


PATHS: dict[str, Any] = {
    "/v1/models": {
        "get": _operation("The models this key may use", _json("GatewayModels"), ("401",), operationId="v1_models")
    },
    "/v1/models/{name}": {
        "get": _operation(
            "One of them",
            _json("GatewayModel"),
            ("401", "404"),
            operationId="v1_model",
            parameters=[{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}],
        )
    },
    "/v1/chat/completions": {
        "post": _operation(
            "A chat completion, plain or streamed",
            _json("ChatCompletion") | {"text/event-stream": {"schema": _EVENT}},
            ("400", "401", "402", "403", "404", "408", "413", "429", "502", "503", "504"),
            operationId="v1_chat_completions",
            requestBody={"required": True, "content": _json("ChatCompletionRequest", example=_EXAMPLE)},
        )
    },
    "/v1/embeddings": {
        "post": _operation(
            "Texts as vectors",
            _json("Embeddings"),
            ("400", "401", "402", "403", "404", "408", "413", "429", "502", "503", "504"),
            operationId="v1_embeddings",
            requestBody={"required": True, "content": _json("EmbeddingsRequest", example=_TEXTS)},
        )
    },
}

SECURITY: dict[str, Any] = {"key": {"type": "http", "scheme": "bearer", "description": "An API key: `rh_…`"}}


def with_gateway(schema: dict[str, Any]) -> dict[str, Any]:
    """The management API's document with the gateway's operations in it."""
    schema["paths"] = PATHS | openapi_dialects.PATHS | openapi_plain.paths(settings.LLM_PREFIX) | schema["paths"]
    components = schema.setdefault("components", {})
    components["schemas"] = components.get("schemas", {}) | SCHEMAS | openapi_dialects.SCHEMAS
    components["schemas"] |= openapi_plain.SCHEMAS
    components["securitySchemes"] = components.get("securitySchemes", {}) | SECURITY
    return schema

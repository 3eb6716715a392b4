"""Amazon Bedrock: Converse for chats, InvokeModel for embeddings, the control host for the list of models.

A request is signed with an access key pair, or carries a key of Bedrock's own. The model may be an inference profile
or an ARN; it is one step of the path, so what would divide it is encoded.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec

from providers.adapters import refusals
from providers.adapters.asked import read
from providers.adapters.converse import body_of
from providers.adapters.converse_answers import ConverseDecoder, read_answer
from providers.adapters.lists import id_in, list_in, no_list, read_object, shown, title_in
from providers.adapters.vectors import decoded, no_embeddings
from providers.auth import access_key, is_sendable, signed
from providers.chat import ChatAnswer, ChatRequest, EmbeddingAnswer, EmbeddingRequest, Usage
from providers.errors import BadCredentials, BadRequest, ProviderError
from providers.sigv4 import AccessKey, sign
from providers.wiring import Decoder, HttpAnswer, HttpRequest, ListedModel, Target

SERVICE = "bedrock"
_STREAM = "-stream"
_EVENTS = "application/vnd.amazon.eventstream"
_PROFILES = "/inference-profiles?maxResults=1000"
_HEALTH = "/foundation-models?byOutputModality=EMBEDDING"  # the shortest list there is

_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d{1,2}")
_RUNTIME = re.compile(r"//bedrock-runtime(-fips)?\.")
_EMBEDS = re.compile(r"embed", re.IGNORECASE)
_TITAN = re.compile(r"titan-embed")
_COHERE = re.compile(r"cohere\.embed")

_encoder = msgspec.json.Encoder()


class BedrockAdapter:
    # -- asking -------------------------------------------------------------------

    def chat_request(self, request: ChatRequest, target: Target) -> tuple[HttpRequest, list[str]]:
        body, warnings = body_of(read(request, target), target)
        path = _path(target, target.kind.chat_path) + (_STREAM if request.stream else "")
        accept = _EVENTS if request.stream else "application/json"
        return _post(target, path, body, accept), warnings

    # -- being answered -----------------------------------------------------------

    def chat_answer(self, answer: HttpAnswer, target: Target) -> ChatAnswer:
        return read_answer(answer, target)

    def decoder(self, request: ChatRequest, target: Target) -> Decoder:
        return ConverseDecoder(target)

    def error(self, answer: HttpAnswer, target: Target) -> ProviderError:
        return refusals.refusal(answer.status, answer.headers, answer.body, target)

    # -- the list of models ---------------------------------------------------------

    def models_request(self, target: Target) -> HttpRequest | None:
        """None when the options name them: a key that may only call models may not list them."""
        return None if target.options.get("models") else _get(target, target.kind.models_path)

    def models_after(self, request: HttpRequest, answer: HttpAnswer, target: Target) -> HttpRequest | None:
        """After the models their inference profiles, many of which are the only way to a model."""
        told = read_object(answer, target)
        if "modelSummaries" in told:
            return _get(target, _PROFILES)
        token = told.get("nextToken")
        if not isinstance(token, str) or not token:
            return None
        return _get(target, f"{_PROFILES}&nextToken={quote(token, safe='-_.~')}")

    def models_answer(self, answer: HttpAnswer, target: Target) -> list[ListedModel]:
        if answer.status >= 400:
            raise self.error(answer, target)
        told = read_object(answer, target)
        models, profiles = told.get("modelSummaries"), told.get("inferenceProfileSummaries")
        if not isinstance(models, list) and not isinstance(profiles, list):
            raise no_list(target)
        entries = [_listed(entry) for entry in models or ()] + [_profile(entry) for entry in profiles or ()]
        return shown(entries, target)

    def health_request(self, target: Target) -> HttpRequest | None:
        return None if target.options.get("models") else _get(target, _HEALTH)

    # -- embeddings -----------------------------------------------------------------

    def embedding_request(self, request: EmbeddingRequest, target: Target) -> tuple[HttpRequest, list[str]]:
        body, warnings = _embedding_body(request, target)
        return _post(target, _path(target, target.kind.embeddings_path), body, "application/json"), warnings

    def embedding_answer(self, answer: HttpAnswer, target: Target) -> EmbeddingAnswer:
        return _embeddings(answer, target)


# -- requests ---------------------------------------------------------------------


def _post(target: Target, path: str, body: dict[str, Any], accept: str) -> HttpRequest:
    headers = {"content-type": "application/json", "accept": accept}
    return _signed("POST", _base(target) + path, headers, _encoder.encode(body), target)


def _get(target: Target, path: str) -> HttpRequest:
    """From the control host, which is the runtime's neighbour. A host of another name is taken to be both."""
    base = _RUNTIME.sub(r"//bedrock\1.", _base(target))
    return _signed("GET", base + path, {"accept": "application/json"}, b"", target)


def _path(target: Target, template: str) -> str:
    return template.replace("{model}", quote(target.model, safe="-_.~"))


def _base(target: Target) -> str:
    return target.base_url.rstrip("/").replace("{region}", _region(target))


def _region(target: Target) -> str:
    """It becomes part of a host's name, so it is one and nothing else."""
    region = target.options.get("region")
    if not isinstance(region, str) or not _REGION.fullmatch(region):
        raise BadCredentials(
            f"{target.provider} needs the region it is in, such as eu-west-1.", provider=target.provider, sent=False
        )
    return region


def _signed(method: str, url: str, headers: dict[str, str], body: bytes, target: Target) -> HttpRequest:
    key = _key(target)
    if key is None:
        headers |= signed(target.kind.auth, target.secret)
    else:
        # What the connector adds by itself is not part of the signature.
        now, region = datetime.now(UTC), _region(target)
        headers = sign(method, url, headers, body, key=key, region=region, service=SERVICE, now=now)
    return HttpRequest(method, url, headers, body, target.kind)


def _key(target: Target) -> AccessKey | None:
    """None for a key that is sent as it is."""
    secret = target.secret
    try:
        key = access_key(secret)
    except ValueError as error:
        raise _bad_key(target, f"{error}.") from None
    if not secret:
        raise BadCredentials(
            f"{target.provider} has no API key: add one, or set the environment variable it is to come from.",
            provider=target.provider,
            sent=False,
        )
    sent = (secret,) if key is None else (key.id, key.token)
    if not all(is_sendable(part) for part in sent):
        raise _bad_key(target, "it has characters that no key has.")
    return key


def _bad_key(target: Target, why: str) -> BadCredentials:
    words = f"The API key of {target.provider} cannot be used: {why} Enter it again."
    return BadCredentials(words, provider=target.provider, sent=False)


# -- models -----------------------------------------------------------------------


def _listed(entry: Any) -> ListedModel | None:
    """One that can be called by its own name; the others have profiles."""
    name = id_in(entry, "modelId")
    if name is None:
        return None
    made, ways = _words(entry, "outputModalities"), _words(entry, "inferenceTypesSupported")
    embeds = "EMBEDDING" in made
    if (made and not embeds and "TEXT" not in made) or (ways and "ON_DEMAND" not in ways):
        return None
    can: dict[str, bool] = {}
    if not embeds:
        streams = entry.get("responseStreamingSupported")
        if isinstance(streams, bool):
            can["streaming"] = streams
        if seen := _words(entry, "inputModalities"):
            can["vision"] = "IMAGE" in seen
    return ListedModel(name, embedding=embeds, name=title_in(entry, "modelName"), capabilities=can)


def _profile(entry: Any) -> ListedModel | None:
    name = id_in(entry, "inferenceProfileId")
    if name is None or entry.get("status", "ACTIVE") != "ACTIVE":
        return None
    return ListedModel(name, embedding=bool(_EMBEDS.search(name)), name=title_in(entry, "inferenceProfileName"))


def _words(entry: dict[str, Any], field: str) -> list[str]:
    return [word for word in list_in(entry, field) if isinstance(word, str)]


# -- embeddings ---------------------------------------------------------------------


def _embedding_body(request: EmbeddingRequest, target: Target) -> tuple[dict[str, Any], list[str]]:
    """Each maker's models have a body of their own."""
    if _TITAN.search(target.model):
        if len(request.texts) != 1:
            raise BadRequest(f"{target.model} takes one text at a time.", param="input", sent=False)
        body: dict[str, Any] = {"inputText": request.texts[0]}
        if request.dimensions is not None:
            body["dimensions"] = request.dimensions
        return body, []
    if _COHERE.search(target.model):
        kind = target.options.get("input_type") or "search_document"
        dropped = ["'dimensions' was dropped: this model does not take it."] if request.dimensions is not None else []
        return {"texts": request.texts, "input_type": str(kind)}, dropped
    raise BadRequest(f"How {target.model} is asked for embeddings is not known.", param="model", sent=False)


class _Embeddings(msgspec.Struct):
    embedding: list[float] | None = None
    inputTextTokenCount: int | None = None
    embeddings: list[list[float]] | dict[str, list[list[float]]] | None = None


_embeddings_decoder = msgspec.json.Decoder(_Embeddings)


def _embeddings(answer: HttpAnswer, target: Target) -> EmbeddingAnswer:
    told = decoded(_embeddings_decoder, answer, target)
    vectors = [told.embedding] if told.embedding is not None else told.embeddings
    if isinstance(vectors, dict):
        vectors = vectors.get("float")
    if vectors is None:
        raise no_embeddings(target)
    counted = told.inputTextTokenCount
    return EmbeddingAnswer(target.model, vectors, Usage(input=counted) if counted is not None else None)

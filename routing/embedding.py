"""Texts to vectors: one request, as many calls upstream as its kind takes texts at once, and one answer.

Each call upstream is an attempt of its own in the journal; failures are retried and fall over as those of a chat do.
All vectors of an answer come from one target, since those of two cannot be compared: who steps in begins anew.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import msgspec

from billing.costs import Rates, worst_case
from billing.ids import new_request_id
from billing.records import Payer
from providers.chat import ChatRequest, EmbeddingAnswer, EmbeddingRequest, Usage, UsageSource
from providers.errors import InvalidAnswer
from providers.registry import Kind
from providers.tokens import count_roughly, count_tokens
from providers.wiring import HttpRequest, Limits, Port
from routing.attempts import Attempt
from routing.gateway import Call, Gateway
from routing.retries import Failure
from routing.settlement import BELIEVABLE, SLACK
from routing.snapshot import ModelEntry

USE = "embedding"


class EmbeddingAttempt(Attempt):
    """One call upstream, with as many texts as its kind takes."""

    __slots__ = ("_asked",)

    def __init__(
        self,
        port: Port,
        asked: EmbeddingRequest,
        model: ModelEntry,
        *,
        draw: Callable[[], float],
        refused: Collection[int],
    ) -> None:
        self._asked = asked
        super().__init__(port, ChatRequest({}), model, draw=draw, refused=refused)

    def _written(self) -> tuple[HttpRequest, list[str]]:
        return self._adapter.embedding_request(self._asked, self._target)

    async def embed(self, limits: Limits) -> EmbeddingAnswer:
        answer = self._adapter.embedding_answer(await self._reply(limits), self._target)
        asked, got = len(self._asked.texts), len(answer.vectors)
        if got != asked:
            raise self._invalid(f"{self._target.provider} sent {got} embeddings for {asked} texts.")
        self._tally.usage = answer.usage = self._believed(answer.usage)
        self.ended = True
        return answer

    def _believed(self, said: Usage | None) -> Usage:
        texts = self._asked.texts
        if said is not None and 0 < said.prompt <= BELIEVABLE * sum(map(count_roughly, texts)) + SLACK:
            return said
        family = self._target.kind.slug
        return Usage(input=sum(count_tokens(family, text) for text in texts), source=UsageSource.COUNTED)

    def _invalid(self, message: str) -> InvalidAnswer:
        return InvalidAnswer(message, provider=self._target.provider)


class EmbeddingCall(Call):
    """`async with` it and await `embed()`, once. Then `vectors`, `served` and `total` are the answer."""

    def __init__(
        self,
        gateway: Gateway,
        asked: EmbeddingRequest,
        payer: Payer,
        *,
        model: str,
        write: Callable[[Sequence[float]], bytes],
        allowed_models: frozenset[str] = frozenset(),
        strict: bool = False,
        client_request_id: str = "",
        request_id: str = "",
    ) -> None:
        """`write` makes of a vector what the client gets; it raises ValueError for what is none."""
        ask = gateway.asking(request_id or new_request_id(), model, payer, allowed_models, use=USE)
        super().__init__(gateway, ask, ChatRequest({}), payer, strict=strict, client_request_id=client_request_id)
        self.vectors: list[bytes] = []
        self.served = ""  # the model, as its provider calls it
        self.total = Usage()
        self._asked = asked
        self._write = write
        self._by = ""  # the target whose vectors these are
        self._size = 0  # of each of them
        self._batch: list[str] = []

    async def embed(self) -> None:
        candidates = await self._candidates()
        names = [model.string for model in candidates]
        failures: list[Failure] = []
        target = most = 0
        while True:
            await self._until_answered(candidates, failures, self._embed_batch, target)
            if len(self.vectors) == len(self._asked.texts):
                break
            await self._fail(None)
            target = names.index(self._by)
            if len(self.vectors) > most:
                # It got further than anybody did: what went wrong on the way is forgiven.
                most = len(self.vectors)
                failures = [failure for failure in failures if failure.target != target]
        self.close()

    def _attempt_at(self, model: ModelEntry) -> Attempt:
        if model.string != self._by:
            self._by, self._size, self.vectors, self.total = model.string, 0, [], Usage()
        self._batch = next_batch(self._asked.texts, len(self.vectors), model.provider.kind, model.model_id)
        part = msgspec.structs.replace(self._asked, texts=self._batch)
        return EmbeddingAttempt(self.gateway.port, part, model, draw=self.gateway.draw, refused=self._refused)

    async def _embed_batch(self, attempt: Attempt, limits: Limits) -> None:
        assert isinstance(attempt, EmbeddingAttempt)
        answer = await attempt.embed(limits)
        size = self._size or len(answer.vectors[0])
        try:
            if any(len(vector) != size for vector in answer.vectors):
                raise ValueError("vectors of several lengths")
            written = [self._write(vector) for vector in answer.vectors]
        except ValueError:
            raise InvalidAnswer(
                f"{attempt.model.provider.slug} sent something that is no embedding.",
                provider=attempt.model.provider.slug,
            ) from None
        self._size = size
        self.vectors += written
        self.served = answer.model
        if answer.usage is not None:
            self.total = msgspec.structs.replace(answer.usage, input=self.total.prompt + answer.usage.prompt)

    def _at_most(self, model: ModelEntry, rates: Rates | None) -> int | None:
        return worst_case(self.input_estimate, 0, rates) if rates is not None else None

    def _tokens_at_most(self, model: ModelEntry) -> int:
        return self.input_estimate

    @property
    def input_estimate(self) -> int:
        """Of the texts that are asked for now."""
        return sum(map(count_roughly, self._batch))


def next_batch(texts: Sequence[str], start: int, kind: Kind, model: str) -> list[str]:
    """As many of the texts from there on as are taken at once; one, however long it is."""
    batch = list(texts[start : start + max(1, kind.texts_at_once(model))])
    if not kind.embedding_tokens:
        return batch
    tokens = 0
    for number, text in enumerate(batch):
        tokens += count_roughly(text)
        if tokens > kind.embedding_tokens and number:
            return batch[:number]
    return batch

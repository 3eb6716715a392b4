"""What the journal holds, as values: an attempt was opened, it was settled, its request was finished.

Every record is complete in itself, so that loading one twice, or one without the other, always gives the same rows.
"""

from __future__ import annotations

import msgspec


class Payer(msgspec.Struct, frozen=True, array_like=True):
    """Who pays. `system` is for probes and tests: in provider spend, in no team's budget."""

    purpose: str  # api, playground, system
    team_id: int | None = None
    user_id: int | None = None
    key_id: int | None = None


class Labels(msgspec.Struct, frozen=True, array_like=True):
    """What a call was for, in the words of that moment. The ledger keeps them as text."""

    use_case: str = ""
    tier: str = ""
    route: str = ""
    arm: str = ""  # "<experiment>/<arm>"
    session: str = ""
    tags: tuple[str, ...] = ()


class Opened(msgspec.Struct, frozen=True, array_like=True, tag="opened"):
    """Written before the first byte goes upstream."""

    attempt_id: str  # "<request id>-<n>"
    request_id: str
    number: int
    payer: Payer
    provider_id: int
    provider: str
    model: str
    credential_id: int | None
    price_id: int | None
    currency: str
    reserved_nano: int | None  # the worst case; None when the model has no price
    input_estimate: int
    asked_model: str
    streamed: bool
    revision: int
    release: int
    demo: bool = False
    labels: Labels | None = None
    pot_id: int | None = None  # the budget in which the reserved amount is held


class Settled(msgspec.Struct, frozen=True, array_like=True, tag="settled"):
    """Written before the last byte goes to the client. Exactly one an attempt."""

    opened: Opened
    status: str  # ok, failed, cancelled, interrupted
    billed: str  # provider, counted, estimated, voided, ambiguous
    # input, cached, cache_write, output, reasoning, audio
    usage: tuple[int, int, int, int, int, int] = (0, 0, 0, 0, 0, 0)
    amount_nano: int | None = None
    formula: str = ""
    upstream_status: int | None = None
    upstream_id: str = ""
    error_code: str = ""
    error_message: str = ""
    first_token_ms: int | None = None
    duration_ms: int = 0


class Finished(msgspec.Struct, frozen=True, array_like=True, tag="finished"):
    """The request as a whole; also written when no attempt was ever made."""

    request_id: str
    payer: Payer
    status: str  # ok, failed, cancelled, interrupted
    asked_model: str
    error_code: str = ""
    client_request_id: str = ""
    provider: str = ""
    model: str = ""
    streamed: bool = False
    attempts: int = 0
    first_token_ms: int | None = None
    duration_ms: int = 0
    revision: int = 0
    release: int = 0
    decision: msgspec.Raw = msgspec.Raw(b"null")
    warnings: tuple[str, ...] = ()
    demo: bool = False
    labels: Labels | None = None
    queued_ms: int | None = None
    ask: msgspec.Raw = msgspec.Raw(b"null")  # what it was decided from, but for content


Record = Opened | Settled | Finished

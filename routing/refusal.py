"""No answer will come, and why: raised by the gateway, phrased by whoever speaks to the client."""

from __future__ import annotations

import asyncio

from providers.errors import ProviderError


class PassedOver(ProviderError):
    """Not asked at all: a limit or a budget of ours says no to this candidate. Another one may do."""

    code = "rate_limit_exceeded"

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str,
        because: str,
        provider: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, code=code, provider=provider, retry_after=retry_after, sent=False)
        self.status = status
        self.because = because  # in the words of chains.py


class Refusal(Exception):
    """In the words and with the status the client gets."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        request_id: str,
        param: str | None = None,
        retry_after: float | None = None,
        retryable: bool = False,
        spent: bool = False,
        warnings: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.request_id = request_id
        self.param = param
        self.retry_after = retry_after
        self.retryable = retryable  # another try, later, may help
        self.spent = spent  # another try at once will not: our own attempts have been made
        self.warnings = warnings


def code_of(error: BaseException | None) -> str:
    """What the ledger calls an error."""
    match error:
        case None:
            return ""
        case ProviderError():
            return error.reason
        case Refusal():
            return error.code
        case asyncio.CancelledError():
            return "client_left"
    return "internal_error"

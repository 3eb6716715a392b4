"""What can go wrong between us and a provider. One tree; every leaf knows its code and whether another try may help.

ProviderError
  Unreachable        no connection: refused, reset, DNS, TLS      upstream_unreachable, upstream_tls, target_blocked
  TimedOut           silent for too long                          upstream_timeout, upstream_stalled, deadline_exceeded
  InvalidAnswer      bytes that are no answer                     upstream_invalid_response, upstream_protocol_error ...
  Interrupted        the answer stopped before its end            upstream_stream_interrupted
  TooLarge           more bytes, lines or events than we accept   upstream_too_large
  Withdrawn          switched off while another was tried         no_usable_provider
  RateLimited        asked too often                              rate_limit_exceeded
  QuotaExhausted     the account has no money left                upstream_quota
  Overloaded         busy, broken or failing                      upstream_overloaded, upstream_error
  BadCredentials     the key is wrong or may not                  upstream_auth
  ModelNotFound      the provider does not know the model         upstream_model_not_found
  BadRequest         the request itself is wrong                  invalid_request_error
    ContextTooLong   longer than the model's window               context_length_exceeded
    Refused          stopped by the provider's content filter     content_filter

Messages say what happened, to whom, and what to do. A secret never enters one: adapters redact before they raise.
"""

from __future__ import annotations

from typing import ClassVar


class ProviderError(Exception):
    code: ClassVar[str] = "upstream_error"
    retryable: ClassVar[bool] = True
    status: int = 502  # what our client gets

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        provider: str = "",
        upstream_status: int | None = None,
        retry_after: float | None = None,
        param: str | None = None,
        sent: bool = True,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = code or self.code
        self.provider = provider
        self.upstream_status = upstream_status
        self.retry_after = retry_after
        self.param = param
        # False when we know that the provider never saw the request: nothing can have been billed.
        self.sent = sent

    def __str__(self) -> str:
        return self.message


class Unreachable(ProviderError):
    code = "upstream_unreachable"


class TimedOut(ProviderError):
    code = "upstream_timeout"
    status = 504


class InvalidAnswer(ProviderError):
    code = "upstream_invalid_response"


class Interrupted(ProviderError):
    code = "upstream_stream_interrupted"


class TooLarge(ProviderError):
    code = "upstream_too_large"


class Withdrawn(ProviderError):
    code = "no_usable_provider"
    status = 503


class RateLimited(ProviderError):
    code = "rate_limit_exceeded"
    status = 429


class QuotaExhausted(ProviderError):
    code = "upstream_quota"


class Overloaded(ProviderError):
    code = "upstream_overloaded"
    status = 503


class BadCredentials(ProviderError):
    code = "upstream_auth"


class ModelNotFound(ProviderError):
    code = "upstream_model_not_found"


class BadRequest(ProviderError):
    code = "invalid_request_error"
    retryable = False
    status = 400


class ContextTooLong(BadRequest):
    code = "context_length_exceeded"


class Refused(BadRequest):
    code = "content_filter"

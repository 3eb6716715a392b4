"""What went wrong on the network, in our own words, and whether the provider can have seen the request."""

from __future__ import annotations

import ssl

from providers.addresses import blocked
from providers.connection import Broken, Garbled
from providers.doors import Blocked, Dial, NotInTime, Unconnected, Unresolved
from providers.errors import Interrupted, InvalidAnswer, ProviderError, TimedOut, Unreachable

NETWORK_ERRORS: tuple[type[Exception], ...] = (OSError,)  # and TimeoutError, which is one


def is_stale(error: Exception, dial: Dial) -> bool:
    """A connection that rested and was closed on the other side before it carried anything of ours."""
    return isinstance(error, Broken) and not error.begun and not dial.fresh


def of_dialling(error: Exception, dial: Dial, url: str) -> ProviderError:
    """Before headers came."""
    host = url.partition("://")[2].partition("/")[0] or url
    secure = url.startswith("https:")
    if isinstance(error, Blocked):
        return blocked(str(error))
    if isinstance(error, Unresolved):
        return Unreachable(f"The name {host} could not be resolved.", sent=False)
    if isinstance(error, NotInTime):
        if dial.reached and secure:
            return Unreachable(f"{host} accepted, but made no secure connection.", code="upstream_tls", sent=False)
        return Unreachable(f"{host} did not accept a connection in time.", sent=False)
    if isinstance(error, Unconnected):
        return _unconnected(error.__cause__, host, secure)
    if isinstance(error, Garbled):
        return InvalidAnswer(f"{host} sent something that is not HTTP.")
    if isinstance(error, TimeoutError):
        return too_late()
    return Unreachable(f"{host} broke the connection before it answered.")


def _unconnected(cause: BaseException | None, host: str, secure: bool) -> Unreachable:
    if isinstance(cause, ssl.SSLCertVerificationError):
        why = cause.verify_message or "it cannot be verified"
        return Unreachable(f"The certificate of {host} is not accepted: {why}.", code="upstream_tls", sent=False)
    if isinstance(cause, ssl.SSLError):
        return Unreachable(f"No secure connection to {host} could be made.", code="upstream_tls", sent=False)
    if isinstance(cause, ConnectionResetError | ConnectionAbortedError) and secure:
        return Unreachable(f"{host} broke off while securing the connection.", code="upstream_tls", sent=False)
    return Unreachable(f"{host} refused the connection.", sent=False)


def of_reading(error: Exception) -> ProviderError:
    """In the middle of a body."""
    return stalled() if isinstance(error, TimeoutError) else cut()


def too_late(*, sent: bool = True) -> TimedOut:
    return TimedOut("The provider did not begin to answer in time.", sent=sent)


def stalled() -> TimedOut:
    return TimedOut("The provider fell silent in the middle of its answer.", code="upstream_stalled")


def too_long() -> TimedOut:
    return TimedOut("The answer took longer than it may take in all.", code="deadline_exceeded")


def cut() -> Interrupted:
    return Interrupted("The connection broke before the answer was whole.")

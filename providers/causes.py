"""What went wrong on the network, in our own words, and whether the provider can have seen the request."""

from __future__ import annotations

import asyncio
import ssl

import aiohttp

from providers.addresses import blocked
from providers.doors import Blocked, Dial
from providers.errors import Interrupted, InvalidAnswer, ProviderError, TimedOut, Unreachable

NETWORK_ERRORS: tuple[type[Exception], ...] = (aiohttp.ClientError, OSError, asyncio.TimeoutError)


def is_stale(error: Exception, dial: Dial) -> bool:
    """A connection from the pool that was closed on the other side before it carried anything of ours."""
    if dial.fresh or isinstance(error, aiohttp.ClientConnectorError):
        return False
    return isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError | ConnectionResetError)


def of_dialling(error: Exception, dial: Dial, url: str) -> ProviderError:
    """Before headers came."""
    host = url.partition("://")[2].partition("/")[0] or url
    secure = url.startswith("https:")
    cause = getattr(error, "os_error", error)
    if isinstance(cause, Blocked):
        return blocked(str(cause))
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = getattr(error.certificate_error, "verify_message", "") or "it cannot be verified"
        return Unreachable(f"The certificate of {host} is not accepted: {why}.", code="upstream_tls", sent=False)
    if isinstance(error, aiohttp.ClientConnectorSSLError | ssl.SSLError):
        return Unreachable(f"No secure connection to {host} could be made.", code="upstream_tls", sent=False)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Unreachable(f"The name {host} could not be resolved.", sent=False)
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        if dial.reached and secure:
            return Unreachable(f"{host} accepted, but made no secure connection.", code="upstream_tls", sent=False)
        return Unreachable(f"{host} did not accept a connection in time.", sent=False)
    if isinstance(error, aiohttp.ClientConnectorError):
        if isinstance(cause, ConnectionResetError) and secure:
            return Unreachable(f"{host} broke off while securing the connection.", code="upstream_tls", sent=False)
        return Unreachable(f"{host} refused the connection.", sent=False)
    if isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
        return blocked("it cannot be read")
    if isinstance(error, aiohttp.ClientResponseError | aiohttp.ClientPayloadError):
        return InvalidAnswer(f"{host} sent something that is not HTTP.")
    if isinstance(error, TimeoutError):
        return too_late()
    return Unreachable(f"{host} broke the connection before it answered.")


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

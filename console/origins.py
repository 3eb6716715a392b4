"""Only our own pages open sockets: a cookie goes along with whatever page opens one, so a page has to say where it is.

Stricter than channels' own check, which lets every port of an allowed host in; and a refusal needs no channel layer.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import split_domain_port, validate_host


class OwnOrigin:
    """Passes on a WebSocket whose Origin is the address it was sent to, or one of CSRF_TRUSTED_ORIGINS."""

    def __init__(self, application: Any) -> None:
        self.application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope["headers"])
        if is_own(_text(headers, b"origin"), _text(headers, b"host")):
            await self.application(scope, receive, send)
            return
        await receive()
        await send({"type": "websocket.close", "code": 1008})


def is_own(origin: str, host: str) -> bool:
    if not origin or origin == "null":
        return False
    if origin in settings.CSRF_TRUSTED_ORIGINS:
        return True
    domain, _ = split_domain_port(host)
    return bool(domain) and validate_host(domain, settings.ALLOWED_HOSTS) and urlsplit(origin).netloc == host.lower()


def _text(headers: dict[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1").lower()

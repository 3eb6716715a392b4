"""How a request to AWS is signed: Signature Version 4, from values to headers.

The signature covers the method, the address, the headers given and the body, so it is made last and each of them goes
out exactly as it was signed. The path is written as on the wire and encoded once more for the signature, as every
service but S3 has it. Time is an argument.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote, urlsplit

ALGORITHM = "AWS4-HMAC-SHA256"
_USUAL_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class AccessKey:
    id: str
    secret: str
    token: str = ""  # of a session

    def __repr__(self) -> str:
        return "AccessKey()"


def sign(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    key: AccessKey,
    region: str,
    service: str,
    now: datetime,
) -> dict[str, str]:
    """The headers with date, session token and signature added. `now` is in UTC."""
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    sent = {name.lower(): value for name, value in headers.items()} | {"x-amz-date": stamp}
    if key.token:
        sent["x-amz-security-token"] = key.token
    signed = sent | {"host": _host(url)}
    names = ";".join(sorted(signed))
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    request = canonical_request(method, url, signed, body)
    text = "\n".join((ALGORITHM, stamp, scope, hashlib.sha256(request.encode()).hexdigest()))
    signature = _mac(_signing_key(key.secret, stamp[:8], region, service), text).hex()
    proof = f"{ALGORITHM} Credential={key.id}/{scope}, SignedHeaders={names}, Signature={signature}"
    return sent | {"authorization": proof}


def canonical_request(method: str, url: str, headers: Mapping[str, str], body: bytes) -> str:
    """`headers` are all that are signed, with lower-case names."""
    parts = urlsplit(url)
    query = "&".join("=".join(pair) for pair in sorted(_pairs(parts.query)))
    lines = [f"{name}:{' '.join(value.split())}" for name, value in sorted(headers.items())]
    return "\n".join(
        (
            method.upper(),
            quote(_without_dots(parts.path), safe="/~"),
            query,
            *lines,
            "",
            ";".join(sorted(headers)),
            hashlib.sha256(body).hexdigest(),
        )
    )


def _pairs(query: str) -> list[tuple[str, str]]:
    """Already encoded as it goes out; a name without a value has an empty one."""
    split = [pair.partition("=") for pair in query.split("&")] if query else []
    return [(name, value) for name, _, value in split]


def _without_dots(path: str) -> str:
    """No `.` and `..` and no empty steps."""
    steps: list[str] = []
    for step in path.split("/"):
        if step == "..":
            del steps[-1:]
        elif step not in ("", "."):
            steps.append(step)
    end = "/" if steps and path.endswith("/") else ""
    return f"/{'/'.join(steps)}{end}"


def _host(url: str) -> str:
    """As the client writes it: the port only where it is not the usual one."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    usual = parts.port is None or parts.port == _USUAL_PORTS.get(parts.scheme)
    return host if usual else f"{host}:{parts.port}"


def _signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    made = _mac(f"AWS4{secret}".encode(), date)
    for word in (region, service, "aws4_request"):
        made = _mac(made, word)
    return made


def _mac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")

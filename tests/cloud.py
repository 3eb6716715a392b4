"""A pretend vendor of the cloud on a real socket: what it answers is a function of the request.

AWS is told from the others by its signature, which is worked out here again by AWS's own library from the bytes that
arrived: whatever changes a request on its way breaks it.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from providers.addresses import parse_networks
from providers.connector import Connector
from providers.eventstream import written
from tests.upstream import Exchange, Seen, Upstream

Answer = Callable[[Exchange], Awaitable[None]]

RECORDINGS = Path(__file__).parent / "recordings"
LOOPBACK = ["127.0.0.0/8"]  # as PRIVATE_NETWORKS: then kinds of the cloud may be at a local address


class Cloud(Upstream):
    """`answers` looks at a request and says how it is answered."""

    def __init__(self, answers: Callable[[Seen], Answer]) -> None:
        super().__init__()
        self._answers = answers

    def _behaviour(self, seen: Seen) -> Answer:
        return self._answers(seen)

    def seen(self, path: str) -> list[Seen]:
        return [seen for seen in self.requests if path in seen.path]


def local_connector() -> Connector:
    return Connector(private_networks=parse_networks(LOOPBACK))


def recorded(name: str) -> bytes:
    return (RECORDINGS / name).read_bytes()


def whole(body: Any, status: int = 200, content_type: str = "application/json", **headers: str) -> Answer:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def answer(it: Exchange) -> None:
        await it.whole(data, status, content_type, **headers)

    return answer


def pieces(*data: bytes, content_type: str, cut: bool = False) -> Answer:
    """A body in chunks; `cut`: the connection breaks before its last one."""

    async def answer(it: Exchange) -> None:
        await it.head(200, content_type, transfer_encoding="chunked")
        for piece in data:
            await it.chunk(piece)
        if cut:
            it.reset()
        else:
            await it.chunk(b"")

    return answer


# -- AWS ----------------------------------------------------------------------------


def framed(lines: bytes) -> list[bytes]:
    """A recording of an event stream, one message a line as `[event or exception, name, payload]`, as its frames."""
    frames = []
    for line in lines.splitlines():
        sort, name, payload = json.loads(line)
        headers = {f":{sort}-type": name, ":content-type": "application/json", ":message-type": sort}
        frames.append(written(headers, json.dumps(payload, separators=(",", ":")).encode()))
    return frames


def signature_is_good(seen: Seen, secret: str, region: str, token: str | None = None) -> bool:
    """Whether the request, as it arrived, is what was signed with this secret."""
    proof = dict(part.partition("=")[::2] for part in seen.headers["authorization"].split(" ", 1)[1].split(", "))
    names = proof["SignedHeaders"].split(";")
    headers = {name: seen.headers[name] for name in names}
    request = AWSRequest(seen.method, f"http://{seen.headers['host']}{seen.path}", headers, seen.body)
    request.context["timestamp"] = seen.headers["x-amz-date"]
    key = proof["Credential"].partition("/")[0]
    signer = SigV4Auth(Credentials(key, secret, token), "bedrock", region)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    return signer.signature(text, request) == proof["Signature"]

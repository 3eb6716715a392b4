"""Which servers of our own answer where they usually are, although nobody connected them?

Asked of this machine only: the address of the kind's row, and the same port of the machine a container runs on. An
answer is a list of models; anything else is somebody else's server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from django.core.cache import cache
from yarl import URL

from providers import connector
from providers.adapters import adapter_for, speaks
from providers.connector import Connector
from providers.errors import ProviderError
from providers.registry import KINDS, Kind, Place
from providers.wiring import Limits, Target

HOSTS = ("localhost", "host.docker.internal")
SECONDS = 1.0
KEPT_SECONDS = 300
CACHE_KEY = "providers.discovery"


@dataclass(frozen=True, slots=True)
class Server:
    kind: str
    base_url: str
    models: int


def found(*, fresh: bool = False) -> list[Server]:
    """What answered within the last minutes, or now."""
    kept = None if fresh else cache.get(CACHE_KEY)
    if kept is None:
        kept = [asdict(server) for server in look(places())]
        cache.set(CACHE_KEY, kept, KEPT_SECONDS)
    return [Server(**server) for server in kept]


def places() -> list[tuple[Kind, str]]:
    """Where each kind of local server is looked for."""
    here = []
    for kind in KINDS.values():
        if kind.place is Place.LOCAL and kind.base_url and speaks(kind):
            here += [(kind, str(URL(kind.base_url).with_host(host))) for host in HOSTS]
    return here


def look(where: Iterable[tuple[Kind, str]]) -> list[Server]:
    """Ask all of them at once; the first address at which a kind answers counts."""
    asked = list(where)

    async def ask_all(port: Connector) -> list[int | None]:
        return await asyncio.gather(*(_models_at(kind, base_url, port) for kind, base_url in asked))

    servers: dict[str, Server] = {}
    for (kind, base_url), count in zip(asked, connector.call(ask_all), strict=True):
        if count is not None:
            servers.setdefault(kind.slug, Server(kind.slug, base_url, count))
    return list(servers.values())


async def _models_at(kind: Kind, base_url: str, port: Connector) -> int | None:
    """How many it lists; None when nobody is there, or somebody who gives no list."""
    adapter = adapter_for(kind)
    target = Target(provider_id=0, provider=kind.slug, kind=kind, base_url=base_url, model="")
    now = asyncio.get_running_loop().time()
    limits = Limits(
        deadline=now + SECONDS, connect=SECONDS, first_byte=SECONDS, idle=SECONDS, body_bytes=2 * 1024 * 1024
    )
    try:
        request = adapter.models_request(target)
        if request is None:
            return None
        answer = await port.send(request, limits)
        return None if answer.status >= 400 else len(adapter.models_answer(answer, target))
    except ProviderError:
        return None

"""The front callable: /v1 and /llm to the gateway's edge, health to its probes, the rest to Django and Channels.

It answers the lifespan itself. Under a server without one (daphne, which serves `runserver`) the first request starts
what the lifespan would have started.
"""

from __future__ import annotations

import logging
import os
from typing import Any

import django
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
django.setup(set_prefix=False)

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.routing import URLRouter  # noqa: E402
from django.conf import settings  # noqa: E402

from console import health, runs  # noqa: E402
from console.bodies import bounded  # noqa: E402
from console.consumers import websocket_urlpatterns  # noqa: E402
from console.origins import OwnOrigin  # noqa: E402
from routing import worker  # noqa: E402
from routing.edge import Edge  # noqa: E402

log = logging.getLogger(__name__)

pages = get_asgi_application()
sockets = OwnOrigin(AuthMiddlewareStack(URLRouter(websocket_urlpatterns)))
edge = Edge(body_limit=settings.BODY_LIMIT, plain_prefix=settings.LLM_PREFIX)
GATEWAY = ("/v1/", f"{settings.LLM_PREFIX}/")


async def application(scope: Any, receive: Any, send: Any) -> None:
    kind = scope["type"]
    if kind == "http":
        path: str = scope["path"]
        if path.startswith(GATEWAY):
            await edge(scope, receive, send)
        elif path in health.PATHS:
            await health.application(scope, receive, send)
        else:
            await bounded(pages, scope, receive, send)
    elif kind == "websocket":
        await worker.started()
        await sockets(scope, receive, send)
    elif kind == "lifespan":
        await lifespan(receive, send)


async def lifespan(receive: Any, send: Any) -> None:
    await receive()
    try:
        await worker.started()
        await runs.started()
    except Exception as error:
        log.exception("the worker cannot start")
        await send({"type": "lifespan.startup.failed", "message": str(error)})
        return
    await send({"type": "lifespan.startup.complete"})
    await receive()
    try:
        await runs.stop()
    finally:
        await worker.stop()
    await send({"type": "lifespan.shutdown.complete"})

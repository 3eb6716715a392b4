"""One web worker: `python -m console.serving.web`, started by the supervisor, which passes the socket it listens on."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import socket
import sys

from console.serving.children import READY


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listener", type=int, required=True)
    parser.add_argument("--line", type=int, required=True)
    parser.add_argument("--check", action="store_true", help="look first whether this code may serve this database")
    options = parser.parse_args()
    gc.disable()  # nothing that loading makes is garbage; the server switches it on when it is warm
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    listener = socket.socket(fileno=options.listener)
    line = socket.socket(fileno=options.line)

    if options.check and not may_serve():
        return 1
    from console.asgi import application  # loads Django, and the list of static files as they lie there now
    from console.serving.server import Server, config_for

    config = config_for(application)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        server = Server(config, drain_seconds=drain_seconds(), on_ready=lambda: line.sendall(READY))
        runner.run(_serve(server, listener, line))
    return 0


def may_serve() -> bool:
    """Asked before the site is loaded: what it serves may have to be collected first."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    import django

    django.setup(set_prefix=False)
    from console.serving import preparation

    try:
        preparation.check()
    except preparation.NotReady as refusal:
        sys.stderr.write(f"{refusal}\n")
        return False
    return True


async def _serve(server: object, listener: socket.socket, line: socket.socket) -> None:
    from console.serving.server import Server

    assert isinstance(server, Server)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, server.leave)

    def supervisor_is_gone() -> None:
        loop.remove_reader(line.fileno())
        server.leave()

    loop.add_reader(line.fileno(), supervisor_is_gone)
    await server.serve(sockets=[listener])


def drain_seconds() -> float:
    from django.conf import settings

    return float(settings.DRAIN_SECONDS)


if __name__ == "__main__":
    sys.exit(main())

"""`manage.py serve`: checks that it may start, binds the address, then becomes the supervisor."""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections
from django.utils import timezone

from console.apps import TAG
from console.claims import is_claimed, new_claim_code
from console.serving import preparation

EVERYWHERE = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - where to find it then


class Command(BaseCommand):
    help = "Serves the site and the gateway: web workers, background work and beat, under one supervisor."
    requires_system_checks = [TAG]

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--workers", type=int, default=1, help="web worker processes")
        parser.add_argument("--migrate", action="store_true", help="bring the database up to date first")

    def handle(self, *args: Any, host: str, port: int, workers: int, migrate: bool, **options: Any) -> None:
        if workers < 1:
            raise CommandError("--workers must be at least 1.")
        if not 0 <= port <= 65535:
            raise CommandError("--port must be between 0 and 65535.")
        listener = bound(host, port)
        try:
            preparation.check(migrate=migrate)
        except preparation.NotReady as refusal:
            raise CommandError(str(refusal)) from None
        greeting = greeting_for(host, listener.getsockname()[1])
        connections.close_all()
        self.stdout.flush()
        become_supervisor(listener, greeting, workers)


def bound(host: str, port: int) -> socket.socket:
    """The socket, not yet listening: nobody connects before somebody can answer."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except socket.gaierror:
        raise CommandError(f"'{host}' is not an address of this machine. Choose another with --host.") from None
    except PermissionError:
        raise CommandError(f"Port {port} is reserved for root. Choose one above 1023 with --port.") from None
    except OSError as error:
        raise CommandError(
            f"{host}:{port} cannot be used: {error.strerror}. Stop what runs there, or choose another with --port."
        ) from None
    return listener


def greeting_for(host: str, port: int) -> str:
    name = EVERYWHERE.get(host, f"[{host}]" if ":" in host else host)
    site = settings.SITE_URL.rstrip("/") or f"http://{name}:{port}"
    path = "" if is_claimed() else f"welcome/{new_claim_code(timezone.now())}/"
    return f"Open {site}/{path}"


def become_supervisor(listener: socket.socket, greeting: str, workers: int) -> None:
    """The same process without Django: half the memory of a worker, for something that only waits."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as pipe:
        pipe.write(greeting)  # far less than a pipe holds; on the command line everybody could read the code
    for descriptor in (reading, listener.fileno()):
        os.set_inheritable(descriptor, True)
    words = ["--listener", listener.fileno(), "--greeting", reading, "--workers", workers]
    words += ["--drain", settings.DRAIN_SECONDS]
    os.chdir(settings.BASE_DIR)
    os.execv(sys.executable, [sys.executable, "-m", "console.serving.supervisor", *map(str, words)])  # noqa: S606

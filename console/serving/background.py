"""The Celery worker and beat: `python -m console.serving.background worker|beat`, started by the supervisor."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import threading
import warnings

ARGUMENTS = {
    # One process for the work, so that a task that hangs can be killed; no chatter between workers, which costs writes.
    "worker": ["worker", "--concurrency=1", "--without-gossip", "--without-mingle", "--without-heartbeat"],
    "beat": ["beat", "--scheduler=celery.beat:Scheduler", "--pidfile="],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=ARGUMENTS)
    parser.add_argument("--line", type=int, required=True)
    options = parser.parse_args()
    # A container's only user is often root, and nothing here runs code from messages: they name our tasks, in JSON.
    warnings.filterwarnings("ignore", message=".*superuser privileges")
    threading.Thread(target=end_with_supervisor, args=(socket.socket(fileno=options.line),), daemon=True).start()

    from django.conf import settings

    from console.celery import app
    from console.state import prepare

    if not settings.REDIS_URL:
        for folder in ("queue", "control"):
            prepare(settings.BROKER_FOLDER / folder)
    app.start(["--quiet", *ARGUMENTS[options.kind], "--loglevel=WARNING"])


def end_with_supervisor(line: socket.socket) -> None:
    line.recv(1)  # nothing ever comes; it returns when the other end closes
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()

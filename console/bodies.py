"""No page takes a body longer than this: it is refused before it is read, or as soon as it is known to be too long."""

from __future__ import annotations

from typing import Any

PAGE_BODY_LIMIT = 2_621_440  # what Django itself takes of a form that is not a file


async def bounded(application: Any, scope: Any, receive: Any, send: Any, limit: int = PAGE_BODY_LIMIT) -> None:
    """Django reads a whole body before it looks at it; this stands before that."""
    length = dict(scope["headers"]).get(b"content-length", b"")
    if length.isdigit() and int(length) > limit:
        await _refuse(send)
        return
    read, too_long, started = 0, False, False

    async def counted() -> Any:
        nonlocal read, too_long
        message = await receive()
        read += len(message.get("body", b""))
        if read > limit:
            too_long = True
            return {"type": "http.disconnect"}  # Django stops reading, and answers nothing
        return message

    async def noted(message: Any) -> None:
        nonlocal started
        started = True
        await send(message)

    await application(scope, counted, noted)
    if too_long and not started:
        await _refuse(send)


async def _refuse(send: Any) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": b"The request is too large.\n"})

"""The one folder an installation keeps: database, journals, keys, broker queues. Only its owner may read it."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def prepare(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    return folder


def kept_secret(file: Path, *, length: int = 50) -> str:
    """The text in `file`, made on first use. Two processes starting together end up with the same one."""
    try:
        return file.read_text().strip()
    except FileNotFoundError:
        keep(file, secrets.token_urlsafe(length))
    return file.read_text().strip()


def keep(file: Path, text: str) -> None:
    """Written whole or not at all, and never over what another process wrote first."""
    prepare(file.parent)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    try:
        os.link(draft, file)  # fails if somebody else was first: then theirs is the secret
    except FileExistsError:
        pass
    finally:
        draft.unlink()

"""A `write` that keeps the interpreter, for what takes microseconds and is done twice a request.

`os.write` lets other threads run meanwhile. One that waits for its turn, as the loader does under load, is woken each
time and finds the turn taken again: two changes of threads for nothing.
"""

from __future__ import annotations

import ctypes
import errno
import os

_write = ctypes.PyDLL(None, use_errno=True).write
_write.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t)
_write.restype = ctypes.c_ssize_t


def write(file: int, data: bytes) -> int:
    """As `os.write`: how much of it was written, or OSError."""
    while True:
        written: int = _write(file, data, len(data))
        if written >= 0:
            return written
        number = ctypes.get_errno()
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))

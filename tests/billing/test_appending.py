"""The write of the journal is `os.write`, but for who may run meanwhile."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from billing.appending import write


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "file", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize("data", [b"", b"one line\n", b"nul\0 in it\n", bytes(range(256)) * 8192])
def test_all_of_it_stands_at_the_end(file: int, data: bytes, tmp_path: Path) -> None:
    assert write(file, b"before\n") == 7
    assert write(file, data) == len(data)
    assert (tmp_path / "file").read_bytes() == b"before\n" + data


def test_what_went_wrong_is_told(tmp_path: Path) -> None:
    reading = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(OSError, match="file descriptor") as caught:
            write(reading, b"x")
    finally:
        os.close(reading)
    assert caught.value.errno == errno.EBADF


def test_how_much_there_was_room_for(file: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        assert write(file, b"x" * 150) == 100
        with pytest.raises(OSError, match="too large"):
            write(file, b"x")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

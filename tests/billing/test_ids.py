"""Ids are never given out twice: not by threads, and not by a process and the one it was forked from."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from billing.ids import STOCK, attempt_id, milliseconds_of, new_request_id

FORKS = """
import os
from billing.ids import new_request_id

new_request_id(0)  # something is in stock
for _ in range(2):
    if os.fork() == 0:
        break
os.write(1, new_request_id(0).encode() + b"\\n")
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
"""


def test_an_id_has_its_moment_and_the_shape_of_a_uuid() -> None:
    made = new_request_id(1_764_000_000_123)
    assert milliseconds_of(made) == milliseconds_of(attempt_id(made, 2)) == 1_764_000_000_123
    assert (len(made), made[16]) == (36, "7")
    assert made[20] in "89ab"


def test_threads_get_different_ones() -> None:
    with ThreadPoolExecutor(4) as threads:
        made = [
            one for some in threads.map(lambda _: [new_request_id(0) for _ in range(STOCK)], range(20)) for one in some
        ]
    assert len(set(made)) == len(made)


def test_a_forked_process_gets_others_than_its_parent() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    said = subprocess.run([sys.executable, "-c", FORKS], env=environment, capture_output=True, text=True, check=True)
    made = said.stdout.split()
    assert len(made) == 3
    assert len(set(made)) == 3

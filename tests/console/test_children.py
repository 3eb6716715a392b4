"""How long a place stays empty after its process died."""

from __future__ import annotations

import socket
import subprocess
import time

import pytest

from console.serving.children import Child, Job, Slot

JOB = Job("web worker 1", "console.serving.web", web=True)


def lost(slot: Slot, *, ready: bool, age: float = 1.0) -> float:
    ours, theirs = socket.socketpair()
    with ours, theirs, subprocess.Popen(["true"]) as process:
        slot.child = Child(JOB, process, ours, time.monotonic() - age, ready=ready)
        return slot.lost(0.0)


@pytest.mark.parametrize(("ready", "longest"), [(True, 2.0), (False, 30.0)])
def test_the_pause_doubles_up_to_a_limit_that_is_short_for_what_could_serve(ready: bool, longest: float) -> None:
    slot = Slot(JOB)
    pauses = [lost(slot, ready=ready) for _ in range(12)]
    assert pauses[:4] == [0.1, 0.2, 0.4, 0.8]
    assert pauses[-1] == longest


def test_one_that_lived_long_is_replaced_at_once() -> None:
    slot = Slot(JOB, failures=5)
    assert lost(slot, ready=True, age=61) == 0
    assert slot.failures == 0

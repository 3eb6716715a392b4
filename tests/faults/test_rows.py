"""docs/reliability.md says which test keeps which row; and what a client can do wrong that no other test does."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from billing.models import Request
from routing import exchange
from tests.faults.table import FAULTS
from tests.routing.gate import WAIT_SECONDS, Gate
from tests.upstream import Upstream

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text()
NAMED = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)


def test_every_row_stands_in_the_docs() -> None:
    rows = set(re.findall(r"^\| (F\d\d) \|", PAGE, re.MULTILINE))
    assert rows == {fault.id for fault in FAULTS if fault.id != "F00"}
    assert set(re.findall(r"^\| (F-C\d) \|", PAGE, re.MULTILINE)) == {f"F-C{number}" for number in range(1, 8)}


@pytest.mark.parametrize(("file", "test"), sorted(set(NAMED)))
def test_every_test_named_there_exists(file: str, test: str) -> None:
    code = (ROOT / file).read_text()
    assert not test or re.search(rf"^(async )?def {test}\(", code, re.MULTILINE)


def test_half_a_body_is_waited_for_and_no_longer(gate: Gate, first: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    """F-C4: no row, and nothing is asked of anybody."""
    monkeypatch.setattr(exchange, "BODY_SECONDS", 0.2)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {gate.secret}\r\n"
    with socket.create_connection(("127.0.0.1", gate.port), timeout=WAIT_SECONDS) as made:
        made.sendall(f'{head}content-length: 1000\r\n\r\n{{"model": "a:ok",'.encode())
        answer = b""
        while data := made.recv(65536):
            answer += data
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"request_timeout"' in answer
    assert b"connection: close" in answer.lower()
    gate.at_rest()
    assert not first.chats
    gate.records(gate.chat("a:ok").request_id)  # what came later is in the ledger
    assert Request.objects.count() == 1

"""The line that each attempt leaves in the log: what it says, and what it never says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from billing.attempt_log import lines_of
from billing.ledger import Ledger
from billing.loader import Loader
from billing.records import Labels
from tests.billing.samples import answered, finished, opened, settled


def test_a_line_an_attempt_and_none_for_the_rest() -> None:
    one = opened(labels=Labels("code", "economy", "code/economy", "cheaper/B", "session 1", ("a",)))
    lines = lines_of([one, settled(one), finished(one.request_id), settled(opened())]).splitlines()
    assert len(lines) == 2
    told = json.loads(lines[0])
    assert (told["event"], told["request_id"], told["attempt"]) == ("attempt", one.request_id, 1)
    assert (told["provider"], told["model"], told["status"]) == (one.provider, one.model, "ok")
    assert told["at"].endswith("Z")
    assert (told["use_case"], told["route"], told["arm"]) == ("code", "code/economy", "cheaper/B")
    assert "session" not in told


def test_nothing_of_what_a_vendor_said_is_in_it() -> None:
    failed = settled(opened(), status="failed", error_code="upstream_error", error_message="canary-phrase-9")
    [line] = lines_of([failed]).splitlines()
    assert b"canary" not in line
    assert json.loads(line)["code"] == "upstream_error"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("on", [True, False])
def test_the_loader_writes_it_where_it_is_wanted(
    ledger: Ledger, loader: Loader, capfdbinary: Any, settings: Any, on: bool
) -> None:
    settings.ATTEMPT_LOG = on
    answered(ledger)
    loader.load()
    lines = [line for line in capfdbinary.readouterr().err.splitlines() if b'"event":"attempt"' in line]
    assert len(lines) == (1 if on else 0)

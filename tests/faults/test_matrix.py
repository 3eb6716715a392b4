"""The fault matrix of docs/reliability.md: every fault, on every wire, plain and streamed, with and without a healthy
fallback. Of each cell: what the client got and when, what the ledger has of it, and what the vendors saw.
"""

from __future__ import annotations

from collections import defaultdict

import pytest
from django.db.models import Sum

from billing.models import LedgerEntry, Pot, Slice
from billing.terms import MONEY
from tests.faults.speech import TEXT
from tests.faults.table import FAULTS, OPENS, A, Fault, P, V
from tests.faults.table import NOTHING as SAYS_NOTHING
from tests.faults.world import CELLS, SPEECHES, WIRES, Cell, World, fallback_of, model_of, provider_of
from tests.routing.gate import Got

LEAST_CELLS = 600
SLACK_SECONDS = 1.5  # for a machine with other things to do
ERROR_FIELDS = {"message", "type", "param", "code", "retryable", "request_id"}
PROXY = "secret-proxy-7"  # on a web page that nobody may see

Row = tuple[str, str, str, str]


def rows() -> dict[Row, list[Cell]]:
    """Cells by wire, fault, behaviour and place."""
    found: dict[Row, list[Cell]] = defaultdict(list)
    for cell in CELLS:
        found[cell[:4]].append(cell)
    return found


ROWS = rows()


def outcome(cell: Cell, *, with_b: bool) -> str:
    return CELLS[cell].expected(streamed=cell.streamed, with_b=with_b)


def falls_back(cell: Cell) -> bool:
    return cell.with_b and outcome(cell, with_b=False) != "200" and outcome(cell, with_b=True) == "200"


def attempts_at_a(cell: Cell) -> int:
    return 1 if cell.with_b else CELLS[cell].attempts[cell.streamed]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: "-".join(filter(None, row)))
def test_fault(world: World, row: Row) -> None:
    for cell in ROWS[row]:
        the_client_got(world, cell)
        the_ledger_has(world, cell)
        the_vendors_saw(world, cell)


# -- what the client got ---------------------------------------------------------------------------


def the_client_got(world: World, cell: Cell) -> None:
    fault, got, expected = CELLS[cell], world.got[cell], outcome(cell, with_b=cell.with_b)
    assert told(got) == expected, cell
    bound = (cell.with_b and fault.seconds_with_b) or fault.seconds
    assert got.seconds < bound + SLACK_SECONDS, cell
    if expected == "200":
        its_answer(cell, fault, got)
    else:
        its_error(cell, got)


def told(got: Got) -> str:
    """As the table says it."""
    if not got.is_stream:
        return "200" if got.status == 200 else f"{got.status} {got.error['code']}"
    assert got.status == 200
    if got.error:
        assert not got.done, "an interrupted stream must not look whole"
        assert got.text, "the answer had begun"
        return f"broken {got.error['code']}"
    assert got.done, "a whole stream must end like one"
    return "200"


def its_answer(cell: Cell, fault: Fault, got: Got) -> None:
    choices = [choice for event in (got.events if got.is_stream else [got.json]) for choice in event["choices"]]
    if fault.behaviour == "tools":
        calls = [call["function"] for choice in choices for call in choice["delta"].get("tool_calls", ())]
        assert calls[0]["name"] == "lookup", cell
        assert "".join(call.get("arguments", "") for call in calls) == SPEECHES[cell.wire].arguments, cell
    else:
        assert got.text == TEXT, cell
    if falls_back(cell):
        assert got.headers["x-relayhouse-attempts"] == "2", cell
        assert got.headers["x-relayhouse-provider"] == fallback_of(cell.wire), cell
    elif fault.finish:
        assert choices[-1]["finish_reason"] == fault.finish, cell


def its_error(cell: Cell, got: Got) -> None:
    assert set(got.error) == ERROR_FIELDS, cell
    assert got.error["request_id"] == got.request_id, cell
    if not got.is_stream:
        assert b"<" not in got.body, cell
        assert got.headers.get("x-should-retry") == ("false" if got.status >= 429 else None), cell
    for secret in (*SPEECHES[cell.wire].hidden, PROXY):
        assert secret.encode() not in got.body, cell
        assert secret not in str(got.headers), cell


# -- what the ledger has ---------------------------------------------------------------------------


def the_ledger_has(world: World, cell: Cell) -> None:
    records, expected, alone = world.records[cell], outcome(cell, with_b=cell.with_b), outcome(cell, with_b=False)
    first, *others = records.attempts
    assert (first.billed, first.provider) == (CELLS[cell].billed[cell.streamed], a_of(cell)), cell
    assert first.error_code == ("" if alone == "200" else alone.split(" ")[1]), cell
    if falls_back(cell):
        assert [(attempt.billed, attempt.provider) for attempt in others] == [(P, fallback_of(cell.wire))], cell
    else:
        assert len(records.attempts) == attempts_at_a(cell), cell
    charged = [billed for billed in records.billed if billed not in (V, A)]
    assert [entry.usage_source for entry in records.entries] == charged, cell
    assert all(entry.amount_nano for entry in records.entries), cell
    assert [attempt.number for attempt in records.attempts] == [*range(1, records.request.attempts + 1)], cell
    ended = "ok" if expected == "200" else "interrupted" if "broken" in expected else "failed"
    assert records.request.status == ended, cell
    for secret in (*SPEECHES[cell.wire].hidden, PROXY, "<"):
        assert not [one for one in records.attempts if secret in one.error_message], cell


def a_of(cell: Cell) -> str:
    return provider_of(cell.wire, CELLS[cell])


# -- what the vendors saw --------------------------------------------------------------------------


def the_vendors_saw(world: World, cell: Cell) -> None:
    """As many requests as the ledger has attempts, and none where one would help nobody."""
    fault, seen = CELLS[cell], world.seen.get(cell, {})
    assert len(seen.get("b", ())) == falls_back(cell), cell
    at_a = sum(len(requests) for name, requests in seen.items() if name != "b")
    assert at_a == (attempts_at_a(cell) * fault.seen if fault.reached else 0), cell
    assert {one.method for requests in seen.values() for one in requests} <= {"POST"}, cell


def test_keys_are_for_those_who_were_asked(world: World) -> None:
    """Each request bore its own provider's key, and nobody was led elsewhere with it."""
    assert not world.vendors["elsewhere"].requests
    for cell, seen in world.seen.items():
        for name, requests in seen.items():
            wire = fallback_of(cell.wire).removesuffix("-b") if name == "b" else cell.wire
            assert all(SPEECHES[wire].bears_key(request) for request in requests), cell


# -- what is left of it ----------------------------------------------------------------------------


@pytest.mark.parametrize("wire", WIRES)
def test_the_breaker_counts(world: World, wire: str) -> None:
    """What failed, attempt by attempt, and nothing that says nothing about the vendor."""
    failed: dict[str, int] = defaultdict(int)
    for cell, records in world.records.items():
        fault = CELLS[cell]
        if cell.wire == wire and fault.breaker != SAYS_NOTHING:
            failed[f"{a_of(cell)}:{model_of(wire, fault)}"] += sum(
                one.provider == a_of(cell) for one in records.attempts
            )
    assert {target: count for target, count in world.failures.items() if target.startswith(wire)} == failed
    opened = {
        f"{a_of(cell)}:{model_of(wire, CELLS[cell])}"
        for cell in CELLS
        if cell.wire == wire and CELLS[cell].breaker == OPENS
    }
    assert {target for target in world.opened if target.startswith(wire)} == opened


def test_what_a_client_is_told_about_waiting(world: World) -> None:
    for cell, got in world.got.items():
        if cell.behaviour.startswith("limited") and not cell.with_b:
            assert got.headers["retry-after"] == ("3600" if "ever" in cell.behaviour else "1"), cell


def test_nothing_is_left(world: World) -> None:
    """No call, no connection, nothing held; and what was spent is what was booked."""
    world.gate.at_rest()
    assert world.gate.worker.slices.held == 0
    for vendor in world.vendors.values():
        assert all(seen.ended for seen in vendor.requests)
    pot = Pot.objects.get(what=MONEY)
    assert pot.spent == LedgerEntry.objects.aggregate(sum=Sum("amount_nano"))["sum"]
    unbooked = Slice.objects.filter(pot=pot, settled__gt=0)
    world.gate.until(lambda: not unbooked.exists(), "something was spent and never booked")


def test_all_of_it_is_asked(world: World) -> None:
    """A row that is not asked for is a row that is not kept."""
    assert len(CELLS) >= LEAST_CELLS
    assert len(world.got) == len(world.records) == len(CELLS) == sum(map(len, ROWS.values()))
    assert {fault.id for fault in FAULTS} == {f"F{number:02}" for number in range(34)}

"""The journal's file: what was appended can be read, whatever happened to what came after."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from billing import journal as journals_own
from billing.journal import CARRIED, Journal, JournalFailed, segment
from billing.journals import SLICE, Home, homes, taken, whole_lines
from billing.ledger import Ledger
from billing.lines import Damaged, line_of, record_of, records_in
from billing.records import Record
from tests.billing.samples import finished, opened, settled
from tests.house import ROOT


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal.open(tmp_path / "journal", "node-1")
    yield journal
    journal.close()


def held(journal: Journal) -> list[Record | Damaged]:
    return list(Home(journal.home).records())


def told(*records: Record) -> list[bytes]:
    """Records with raw JSON in them are equal when their lines are."""
    return [line_of(record) for record in records]


# -- lines ----------------------------------------------------------------------------


def test_a_record_comes_back_as_it_was() -> None:
    begun = opened()
    for record in (begun, settled(begun), finished(begun.request_id, warnings=("dropped: seed",))):
        (again,) = records_in(line_of(record))
        assert not isinstance(again, Damaged)
        assert line_of(again) == line_of(record)
        assert type(again) is type(record)


def test_a_decision_goes_through_as_it_is() -> None:
    record = finished(opened().request_id, decision=msgspec.Raw(b'{"reason": "x",\n "list": [1, 2]}'))
    (again,) = records_in(line_of(record))
    assert bytes(again.decision) == b'{"reason":"x","list":[1,2]}'  # type: ignore[union-attr]


def test_every_change_of_a_byte_is_noticed() -> None:
    line = line_of(opened())
    for position in range(len(line) - 1):
        changed = bytearray(line)
        changed[position] ^= 0x01
        (found, *_) = records_in(bytes(changed))
        assert isinstance(found, Damaged), position


def test_a_record_of_another_version_is_damage_not_a_crash() -> None:
    from zlib import crc32

    text = b'["invented",1,2,3]'
    assert isinstance(record_of(b"%08x %s" % (crc32(text), text)), Damaged)


def test_a_slice_makes_few_rows() -> None:
    """SQLite's lock is held for at most 2,000 rows: even the shortest records must not make more."""
    begun = opened(asked_model="m", model="m", provider="p", currency="", price_id=None, reserved_nano=None)
    shortest = settled(begun, usage=(0,) * 6, amount_nano=None, formula="", upstream_id="")
    ending = finished(begun.request_id, asked_model="m", provider="", model="", decision=msgspec.Raw(b"null"))
    assert SLICE / len(line_of(shortest)) * 2 < 2_000
    assert SLICE / len(line_of(ending)) < 2_000


# -- one journal ----------------------------------------------------------------------


def test_what_was_appended_is_there_in_order(journal: Journal) -> None:
    ledger, begun = Ledger(journal), opened()
    ledger.reserve(begun)
    end = finished(begun.request_id)
    ledger.settle(settled(begun), end)
    ledger.finish(finished(opened().request_id, status="failed"))
    kinds = [type(record).__name__ for record in held(journal)]
    assert kinds == ["Opened", "Settled", "Finished", "Finished"]
    assert journal.unloaded_bytes == segment(journal.home, 1).stat().st_size


def test_only_its_owner_may_read_it(journal: Journal) -> None:
    journal.append(opened())
    assert stat.S_IMODE(journal.folder.stat().st_mode) == stat.S_IMODE(journal.home.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in journal.home.iterdir()} == {0o600}


@pytest.mark.parametrize("cut", [1, 5, 9, 40, 150])
def test_a_torn_end_is_passed_over(journal: Journal, cut: int) -> None:
    first, second = opened(), opened()
    journal.append(first)
    journal.append(second)
    path = segment(journal.home, 1)
    os.truncate(path, path.stat().st_size - cut)
    assert held(journal) == [first]


def test_damage_in_the_middle_costs_one_record(journal: Journal) -> None:
    records = [opened() for _ in range(3)]
    for record in records:
        journal.append(record)
    path = segment(journal.home, 1)
    written = bytearray(path.read_bytes())
    written[len(line_of(records[0])) + 60] ^= 0xFF
    path.write_bytes(written)
    first, damaged, last = held(journal)
    assert (first, last) == (records[0], records[2])
    assert isinstance(damaged, Damaged)


def test_segments_are_closed_when_full_and_read_in_order(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals_own, "SEGMENT_BYTES", 1000)
    records = [opened() for _ in range(20)]
    for record in records:
        journal.append(record)
    assert held(journal) == records
    number, _ = journal.position()
    assert number > 3
    assert all(segment(journal.home, n).stat().st_size <= 1000 for n in range(1, number + 1))


def test_a_dropped_segment_leaves_what_is_unfinished(journal: Journal) -> None:
    records = [opened() for _ in range(3)]
    for record in records:
        journal.append(record)
    journal.rotate()
    later = opened()
    journal.append(later)
    journal.drop(1, [records[1]])
    assert held(journal) == [records[1], later]
    journal.drop(2, [])
    assert not (journal.home / CARRIED).exists()


def test_a_line_longer_than_a_slice_is_read_whole(tmp_path: Path) -> None:
    record = finished(opened().request_id, decision=msgspec.Raw(b'{"reason":"' + b"x" * 3 * SLICE + b'"}'))
    path = tmp_path / "lines"
    path.write_bytes(line_of(record) + line_of(opened()))
    with path.open("rb") as file:
        lines = whole_lines(file.fileno(), 0)
        assert lines == path.read_bytes()
        assert whole_lines(file.fileno(), len(lines)) == b""


def test_text_that_is_no_unicode_is_refused(journal: Journal) -> None:
    with pytest.raises(JournalFailed, match="Unicode"):
        journal.append(opened(asked_model="\ud800"))
    journal.append(opened())
    assert len(held(journal)) == 1


def test_threads_do_not_mix_their_records(journal: Journal) -> None:
    from concurrent.futures import ThreadPoolExecutor

    batches = [[opened() for _ in range(200)] for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda batch: [journal.append(record) for record in batch], batches))
    found = held(journal)
    assert len(found) == 800
    assert not any(isinstance(record, Damaged) for record in found)


# -- whose it is ------------------------------------------------------------------------


def test_a_closed_journal_with_nothing_in_it_disappears(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, "node-1")
    journal.close()
    journal.close()
    assert list(tmp_path.iterdir()) == []
    for owed in (False, True):
        with pytest.raises(JournalFailed, match="closed"):
            journal.append(opened(), owed=owed)


def test_one_with_records_stays_and_can_be_taken_over(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, "node-1")
    record = opened()
    journal.append(record)
    (home,) = homes(tmp_path)
    assert home.is_held()
    with taken(home) as got:
        assert not got
    journal.close()
    assert not home.is_held()
    with taken(home) as got:
        assert got
        assert home.is_held()  # by us: nobody else takes it meanwhile
    assert list(home.records()) == [record]


def test_a_name_is_used_once(journal: Journal) -> None:
    with pytest.raises(JournalFailed, match="already"):
        Journal.open(journal.folder, "node-1")


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalFailed, match="Not a directory"):
        Journal.open(tmp_path / "file" / "journal", "node-1")


def test_two_processes_keep_two_journals_and_kill_lets_go(tmp_path: Path) -> None:
    mine = Journal.open(tmp_path, "node-1")
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from billing.journal import Journal; from tests.billing.samples import opened\n"
        "journal = Journal.open(Path(sys.argv[1]), 'node-2')\n"
        "for _ in range(50): journal.append(opened())\n"
        "print('ready', flush=True); sys.stdin.readline(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    assert other.stdout.readline() == b"ready\n"
    own, theirs = homes(tmp_path)
    assert own.is_held()
    assert theirs.is_held()
    other.communicate(b"\n")
    assert not theirs.is_held()
    assert len(list(theirs.records())) == 50
    mine.close()


# -- when the disk is full ----------------------------------------------------------------


def run(script: str, *words: str, wrapped: tuple[str, ...] = ()) -> str:
    done = subprocess.run(
        [*wrapped, sys.executable, "-m", f"tests.billing.{script}", *words], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    assert run("limited_file", str(tmp_path)).split() == ["refused", "owed", "recovered", "complete"]


def test_a_full_disk(tmp_path: Path) -> None:
    """Nothing is begun, what was begun is settled, and it recovers when there is room again."""
    private = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--mount", "--user", "--map-root-user")
    mount = ("sh", "-c", f'mount -t tmpfs -o size=8m tmpfs {tmp_path} && exec "$@"', "sh")
    if subprocess.run([*private, *mount, "true"], capture_output=True).returncode:
        pytest.skip("no file system of a given size can be mounted here")
    words = run("full_disk", str(tmp_path), wrapped=(*private, *mount)).split()
    assert words == ["refused", "settled", "dropped", "recovered", "complete"]

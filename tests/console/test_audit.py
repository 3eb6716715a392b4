"""The audit log: a chain in which nothing can be changed, removed or moved without being seen."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import RequestFactory

from billing.models import Team
from console.audit import GENESIS, Named, digest, fields_of, record, record_command, verify
from console.models import AuditEntry

pytestmark = pytest.mark.django_db


@pytest.fixture
def chain(alice: Any, research: Team) -> list[AuditEntry]:
    return [
        record(alice, "create", research, after={"name": "Research"}),
        record(alice, "change", research, before={"name": "Research"}, after={"name": "Science"}),
        record_command("apply", "change", research, note="house.yaml"),
        record(None, "sign_in_failed", Named("user", "", "nobody@example.org"), actor_name="nobody@example.org"),
    ]


@pytest.mark.store
def test_each_entry_carries_the_hash_before_it(chain: list[AuditEntry]) -> None:
    assert chain[0].previous_hash == GENESIS
    assert [entry.previous_hash for entry in chain[1:]] == [entry.hash for entry in chain[:-1]]
    found = verify()
    assert (found.entries, found.broken, found.head) == (4, None, chain[-1].hash)


@pytest.mark.store
@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("actor_name", "Mallory", "it was changed"),
        ("verb", "delete", "it was changed"),
        ("object_id", "999", "it was changed"),
        ("note", "nothing", "it was changed"),
        ("address", "198.51.100.1", "it was changed"),
        ("content", {"before": {}, "after": {"name": "Other"}}, "its content was changed"),
        ("content_digest", "0" * 64, "its content was changed"),
        ("previous_hash", "0" * 64, "an entry before it is missing or was moved"),
        ("hash", "f" * 64, "it was changed"),
    ],
)
def test_a_changed_entry_is_found(field: str, value: Any, reason: str, chain: list[AuditEntry]) -> None:
    AuditEntry.objects.filter(pk=chain[1].pk).update(**{field: value})
    found = verify()
    assert (found.broken, found.reason, found.entries) == (chain[1].pk, reason, 1)


def test_a_changed_moment_is_found(chain: list[AuditEntry]) -> None:
    AuditEntry.objects.filter(pk=chain[2].pk).update(at=chain[2].at + timedelta(microseconds=1))
    assert verify().broken == chain[2].pk


def test_a_removed_and_a_moved_entry_are_found(chain: list[AuditEntry]) -> None:
    AuditEntry.objects.filter(pk=chain[1].pk).delete()
    assert verify().broken == chain[2].pk


def test_content_can_be_erased_for_a_person_and_the_chain_holds(chain: list[AuditEntry]) -> None:
    AuditEntry.objects.filter(pk=chain[1].pk).update(content=None)
    found = verify()
    assert (found.broken, found.erased) == (None, 1)


def test_only_what_differs_is_kept_and_secrets_are_not(alice: Any, research: Team) -> None:
    before = fields_of(research, "name", "description") | {"api_key": "test-key-old", "Password": "a"}
    entry = record(
        alice, "change", research, before=before, after=before | {"description": "X", "api_key": "test-key-new"}
    )
    assert entry.content == {
        "before": {"description": "", "api_key": "…"},
        "after": {"description": "X", "api_key": "…"},
    }
    assert "test-key" not in str(AuditEntry.objects.values())


def test_values_that_json_does_not_know_are_written_as_text(alice: Any, research: Team) -> None:
    entry = record(alice, "change", research, after={"at": research.created_at})
    entry.refresh_from_db()
    assert entry.content_digest == digest(entry.content)
    assert verify().broken is None


def test_where_it_came_from_is_kept(alice: Any, research: Team, settings: Any) -> None:
    settings.TRUSTED_PROXIES = ["127.0.0.1/32"]
    request = RequestFactory().get("/", headers={"X-Forwarded-For": "203.0.113.9, 198.51.100.7"})
    assert record(alice, "create", research, request=request).address == "198.51.100.7"
    settings.TRUSTED_PROXIES = []
    assert record(alice, "create", research, request=request).address == "127.0.0.1"
    six = RequestFactory(REMOTE_ADDR="2001:0db8:0:0:0:0:0:1").get("/")
    record(alice, "create", research, request=six)
    assert verify().broken is None


def test_long_names_are_cut_not_refused(alice: Any) -> None:
    record(alice, "create", Named("team", "x" * 500, "y" * 500), note="z" * 500)
    assert verify().broken is None


@pytest.mark.store
@pytest.mark.django_db(transaction=True)
def test_many_writers_make_one_chain(alice: Any, research: Team) -> None:
    def write(number: int) -> None:
        try:
            record(alice, "change", research, note=str(number))
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(40)))
    found = verify()
    assert (found.entries, found.broken) == (40, None)


def test_the_command_says_where_it_breaks(chain: list[AuditEntry], capsys: Any) -> None:
    call_command("audit", "verify")
    assert f"4 entries, chain verified. Head {chain[-1].hash}" in capsys.readouterr().out
    AuditEntry.objects.filter(pk=chain[1].pk).update(verb="delete")
    with pytest.raises(CommandError, match=f"entry {chain[1].pk} .* it was changed"):
        call_command("audit", "verify")

"""`manage.py key`: a script gets a working key out of it, and nothing else."""

from __future__ import annotations

import time
from datetime import timedelta
from io import StringIO

import pytest
from asgiref.sync import async_to_sync
from django.core.management import CommandError, call_command
from django.utils import timezone

from billing.models import Organisation, Team
from billing.terms import Bounds
from console.audit import verify
from console.models import AuditEntry
from routing.callers import Caller, KeyBook, Refused
from routing.models import ApiKey
from tests import factories

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.store]


def key(*words: str) -> str:
    out = StringIO()
    call_command("key", *words, stdout=out)
    return out.getvalue()


def create(*words: str) -> str:
    return key("create", "--name", "ci", *words)


def found(secret: str) -> Caller | Refused:
    book = KeyBook()
    try:
        return async_to_sync(book.find)(secret)
    finally:
        book.close()


def test_the_secret_stands_alone_and_opens() -> None:
    secret = create("--team", "Research")
    assert secret.endswith("\n")
    assert secret.count("\n") == 1
    caller = found(secret.strip())
    assert isinstance(caller, Caller)
    team = Team.objects.get(name="Research")
    assert caller.team_id == team.pk


def test_it_works_before_anybody_claimed_the_house() -> None:
    assert Organisation.get().claimed_at is None
    create("--team", "Research")


def test_a_team_is_made_once() -> None:
    create("--team", "Research")
    create("--team", "research")
    assert Team.objects.count() == 1
    assert ApiKey.objects.count() == 2


def test_a_key_may_belong_to_a_person() -> None:
    person = factories.make_user("Bob", email="bob@example.org")
    caller = found(create("--person", "BOB@example.org").strip())
    assert isinstance(caller, Caller)
    assert (caller.user_id, caller.team_id) == (person.pk, None)


def test_models_and_life_can_be_bounded() -> None:
    create("--team", "Research", "--models", "demo:relay-1", "fast", "--expires", "30")
    row = ApiKey.objects.get()
    assert row.allowed_models == ["demo:relay-1", "fast"]
    assert row.expires_at is not None
    assert abs(row.expires_at - timezone.now() - timedelta(days=30)) < timedelta(minutes=1)


def test_a_model_nobody_knows_is_noted_beside_the_secret() -> None:
    out, noted = StringIO(), StringIO()
    call_command("key", "create", "--name", "ci", "--team", "R", "--models", "nobody:x", stdout=out, stderr=noted)
    assert out.getvalue().count("\n") == 1
    assert "nobody" in noted.getvalue()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["create", "--name", "ci"], "Whose key"),
        (["create", "--name", " ", "--team", "R"], "--name"),
        (["create", "--name", "x" * 81, "--team", "R"], "--name"),
        (["create", "--name", "ci", "--team", "x" * 81], "--team"),
        (["create", "--name", "ci", "--person", "nobody@example.org"], "nobody@example.org"),
        (["create", "--name", "ci", "--team", "R", "--expires", "0"], "--expires"),
        (["create", "--team", "R"], "--name"),
        (["revoke", "rh_nothing"], "no key"),
        (["revoke", "99999"], "no key"),
        (["nonsense"], "nonsense"),
    ],
)
def test_bad_input_is_explained_and_changes_nothing(words: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        key(*words)
    assert (ApiKey.objects.count(), Team.objects.count(), AuditEntry.objects.count()) == (0, 0, 0)


def test_an_archived_team_gets_no_key() -> None:
    factories.make_team("Research", archived_at=timezone.now())
    with pytest.raises(CommandError, match="archived"):
        create("--team", "Research")


@pytest.mark.parametrize("how", ["id", "prefix", "secret"])
def test_revoking_ends_it(how: str) -> None:
    secret = create("--team", "Research").strip()
    row = ApiKey.objects.get()
    said = key("revoke", {"id": str(row.pk), "prefix": row.prefix, "secret": secret}[how])
    assert secret not in said
    refused = found(secret)
    assert isinstance(refused, Refused)
    assert refused.code == "key_revoked"
    assert "already" in key("revoke", str(row.pk))


def test_the_list_shows_state_and_no_secret() -> None:
    secret = create("--team", "Research").strip()
    key("revoke", secret)
    create("--team", "Research", "--expires", "3")
    told = key("list")
    assert secret not in told
    assert "revoked" in told
    assert "until " in told
    assert told.count("Research") == 2


def test_everything_is_in_the_audit_log() -> None:
    secret = create("--team", "Research").strip()
    key("revoke", secret)
    told = [(entry.verb, entry.object_kind, entry.actor_name) for entry in AuditEntry.objects.order_by("id")]
    assert told == [
        ("create", "team", "manage.py key"),
        ("create", "apikey", "manage.py key"),
        ("revoke", "apikey", "manage.py key"),
    ]
    assert verify().broken is None
    assert not any(secret in str(entry.content) for entry in AuditEntry.objects.all())


def test_nothing_of_a_failed_creation_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    factories.make_user("Gone", email="gone@example.org", is_active=False)
    with pytest.raises(CommandError, match="deactivated"):
        create("--team", "Research", "--person", "gone@example.org")
    assert (ApiKey.objects.count(), Team.objects.count()) == (0, 0)


def test_it_is_quick() -> None:
    began = time.perf_counter()
    create("--team", "Research")
    assert time.perf_counter() - began < 1.0


# -- limits and a budget -----------------------------------------------------------------


def test_limits_and_a_budget_of_a_key() -> None:
    Organisation.objects.filter(pk=Organisation.get().pk).update(currency="EUR", time_zone="Europe/Paris")
    words = ["--budget", "2.5", "--period", "week", "--requests-per-minute", "60", "--concurrency", "4"]
    caller = found(create("--team", "Research", *words).strip())
    assert isinstance(caller, Caller)
    allowance = caller.allowance
    assert allowance is not None
    assert allowance.bounds == Bounds("key", caller.key_id, 60, None, 4)
    budget = allowance.budget
    assert budget is not None
    assert (budget.limit_nano, budget.currency, budget.period, budget.zone, budget.downgrade) == (
        2_500_000_000,
        "EUR",
        "week",
        "Europe/Paris",
        False,
    )
    content = AuditEntry.objects.get(object_kind="apikey").content
    assert content["after"]["budget"] == "2.5 EUR week"
    assert content["after"]["requests_per_minute"] == 60


def test_a_budget_with_everything_said() -> None:
    words = ["--budget", "0.000000001", "--currency", "usd", "--time-zone", "UTC", "--at-limit", "downgrade"]
    caller = found(create("--team", "Research", *words).strip())
    assert isinstance(caller, Caller)
    assert caller.allowance is not None
    assert caller.allowance.bounds is None
    budget = caller.allowance.budget
    assert budget is not None
    assert (budget.limit_nano, budget.currency, budget.zone, budget.downgrade) == (1, "USD", "UTC", True)


def test_a_key_without_limits_has_nothing_to_look_at() -> None:
    caller = found(create("--team", "Research").strip())
    assert isinstance(caller, Caller)
    assert caller.allowance is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--budget", "much"), "--budget takes an amount"),
        (("--budget", "-1"), "--budget takes an amount"),
        (("--budget", "nan"), "--budget takes an amount"),
        (("--budget", "0.0000000001"), "--budget takes an amount"),
        (("--budget", "1e30"), "amount of money"),
        (("--budget", "1", "--currency", "dollars"), "no currency"),
        (("--budget", "1", "--time-zone", "Mars/Base"), "no time zone"),
        (("--period", "day"), "--period belongs to a budget"),
        (("--concurrency", "-1"), "a number from 0 to"),
        (("--concurrency", "few"), "invalid"),
    ],
)
def test_what_is_no_budget_makes_no_key(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        create("--team", "Research", *words)
    assert not ApiKey.objects.exists()


def test_limits_can_be_changed_and_taken_away() -> None:
    secret = create("--team", "Research", "--budget", "1", "--concurrency", "4", "--requests-per-minute", "9").strip()
    key("limit", secret[:9], "--concurrency", "none", "--budget", "3", "--period", "day")
    caller = found(secret)
    assert isinstance(caller, Caller)
    assert caller.allowance is not None
    assert caller.allowance.bounds == Bounds("key", caller.key_id, 9, None, None)
    assert caller.allowance.budget is not None
    assert (caller.allowance.budget.limit_nano, caller.allowance.budget.period) == (3_000_000_000, "day")
    key("limit", str(caller.key_id), "--no-budget", "--requests-per-minute", "none")
    caller = found(secret)
    assert isinstance(caller, Caller)
    assert caller.allowance is None
    changes = AuditEntry.objects.filter(object_kind="apikey", verb="change").order_by("id")
    assert [entry.content["after"].get("budget") for entry in changes] == ["3 USD day", "none"]
    for wrong in ((), ("--no-budget", "--budget", "1")):
        with pytest.raises(CommandError):
            key("limit", secret[:9], *wrong)

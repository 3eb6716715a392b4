"""The first page: what is true about the house, first steps, and figures of real calls only."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client
from django.utils import timezone

from billing.models import LedgerEntry, Request, Team
from console import audit
from console.models import Message, Room, Run, User
from console.overview import last_day
from providers.models import HealthCheck
from tests.factories import claim_house, make_model, make_provider, make_user

pytestmark = pytest.mark.django_db


def _answer(person: User, **fields: Any) -> Run:
    room = Room.objects.create(owner=person)
    message = Message.objects.create(room=room, author=Message.Author.ASSISTANT, text="Hello")
    fields = {"status": Run.Status.DONE, "asked_model": "demo:relay-1", "ended_at": timezone.now()} | fields
    return Run.objects.create(id=f"run_{message.pk}", message=message, node="test", **fields)


def _call(name: str, person: User, *, ok: bool = True, nano: int | None = 2_000_000, **fields: Any) -> None:
    at = fields.pop("at", timezone.now())
    shared = {"started_at": at, "purpose": fields.pop("purpose", "api"), "demo": fields.pop("demo", False)}
    Request.objects.create(
        id=f"req_{name}", status="ok" if ok else "failed", asked_model="m", user_id=person.pk, **shared
    )
    LedgerEntry.objects.create(
        id=f"req_{name}-1/charge/0", request_id=f"req_{name}", attempt_id=f"req_{name}-1", kind="charge",
        booked_at=at, provider="p", model="m", usage_source="provider", amount_nano=nano, user_id=person.pk,
        currency=fields.pop("currency", "EUR") if nano is not None else "", **shared
    )  # fmt: skip


@pytest.mark.parametrize("name", ["alice", "adam", "bob", "dana", "charlie", "vera"])
def test_everybody_has_an_overview(name: str, request: Any, signed_in: Any) -> None:
    assert "<h1>Overview</h1>" in signed_in(request.getfixturevalue(name)).get("/").content.decode()


def test_strangers_are_sent_to_the_door(client: Client) -> None:
    assert client.get("/")["Location"] == "/welcome/"
    claim_house()
    assert client.get("/")["Location"] == "/accounts/login/"


# -- first steps --------------------------------------------------------------


def test_the_first_steps_follow_what_was_done(alice: Any, signed_in: Any) -> None:
    client = signed_in(alice)
    assert "0 of 4 done" in client.get("/").content.decode()
    _answer(alice, model="relay-1", first_token_ms=412)
    page = client.get("/").content.decode()
    assert "1 of 4 done" in page
    assert 'href="/providers/add/"' in page
    assert "412\xa0ms to the first token" in page
    make_user("Bea")
    make_provider("Groq", "groq")
    Authenticator.objects.create(user=alice, type=Authenticator.Type.TOTP, data={})
    assert "First steps" not in client.get("/").content.decode()


def test_an_answer_that_failed_or_was_anothers_does_not_count(alice: Any, bob: Any, signed_in: Any) -> None:
    _answer(bob)
    _answer(alice, status=Run.Status.FAILED)
    assert "Ask the demonstration model." in signed_in(alice).get("/").content.decode()


def test_each_person_gets_only_steps_they_can_take(bob: Any, dana: Any, vera: Any, signed_in: Any) -> None:
    bobs = signed_in(bob).get("/").content.decode()
    assert "First answer" in bobs
    assert "Invite a colleague" not in bobs
    for person in (dana, vera):
        page = signed_in(person).get("/").content.decode()
        assert "Turn on two-factor" in page
        assert "First answer" not in page


def test_steps_are_hidden_and_come_back(alice: Any, bob: Any, signed_in: Any) -> None:
    client = signed_in(alice)
    assert client.post("/overview/steps/")["Location"] == "/"
    assert "of 4 done" not in client.get("/").content.decode()
    assert "of 4 done" in client.get("/?steps=show").content.decode()
    assert "First steps" in signed_in(bob).get("/").content.decode()
    assert client.get("/overview/steps/").status_code == 405


# -- what is true -------------------------------------------------------------


def test_it_says_when_nothing_can_answer_and_when_only_the_demonstration_does(alice: Any, signed_in: Any) -> None:
    client = signed_in(alice)
    assert "No provider can answer." in client.get("/").content.decode()
    make_model(make_provider())
    assert "The demonstration answers, at no cost." in client.get("/").content.decode()
    make_provider("Mistral", "mistral")
    assert "1 provider answers." in client.get("/").content.decode()
    make_provider("Groq", "groq", inactive_reason="No key works (401)")
    page = client.get("/").content.decode()
    assert "1 provider is on but cannot answer." in page
    assert "No key works (401)" in page


def test_what_needs_somebody_stands_above_the_figures_with_one_thing_to_do(
    alice: Any, bob: Any, signed_in: Any
) -> None:
    assert "Needs attention</h2>" not in signed_in(alice).get("/").content.decode()
    make_provider("Groq", "groq")
    failing = make_provider("House", "vllm", base_url="http://127.0.0.1:1/v1")
    now = timezone.now()
    for number in range(3):
        at = now - timedelta(seconds=30 * number)
        HealthCheck.objects.create(provider=failing, ok=False, at=at, code="upstream_unreachable")
    page = signed_in(alice).get("/").content.decode()
    card = page.partition("Needs attention</h2>")[2].partition("</section>")[0]
    assert "Groq: Inactive</b><p>API key missing" in card
    assert 'href="/providers/groq/credentials/">See the keys' in card
    assert "House: Failing</b><p>3 checks in a row failed: it could not be reached" in card
    assert 'href="/providers/house/">Open' in card
    assert "Needs attention</h2>" not in signed_in(bob).get("/").content.decode()


def test_a_member_sees_no_providers_and_no_changes(bob: Any, alice: Any, research: Team, signed_in: Any) -> None:
    make_provider("Groq", "groq", inactive_reason="No key works (401)")
    audit.record(alice, "create", research)
    page = signed_in(bob).get("/").content.decode()
    assert "Groq" not in page
    assert "created the team" not in page
    assert "manage.py key create" not in page


def test_admins_see_changes_but_not_comings_and_goings(adam: Any, alice: Any, research: Team, signed_in: Any) -> None:
    audit.record(alice, "create", research)
    audit.record(alice, "sign_in", alice)
    page = signed_in(adam).get("/").content.decode()
    assert "created the team Research" in page
    assert "signed in the person" not in page


def test_the_call_to_copy_names_a_model_that_exists(alice: Any, research: Team, signed_in: Any) -> None:
    client = signed_in(alice)
    assert "chat/completions" not in client.get("/").content.decode()
    make_model(make_provider(), "relay-1")
    page = client.get("/").content.decode()
    assert "demo:relay-1" in page
    assert "--team &quot;Research&quot;" in page or '--team "Research"' in page
    assert "http://testserver/v1/chat/completions" in page


# -- figures ------------------------------------------------------------------


@pytest.mark.store
def test_figures_count_real_calls_of_the_last_day_only(alice: Any, bob: Any) -> None:
    now = timezone.now()
    _call("a", alice)
    _call("b", bob, ok=False)
    _call("c", bob, nano=None)
    _call("d", bob, currency="USD", nano=500)
    _call("demo", alice, demo=True)
    _call("probe", alice, purpose="system")
    _call("old", alice, at=now - timedelta(hours=25))
    day = last_day(timezone.now())
    assert (day.requests, day.answered, day.unpriced) == (4, 3, 1)
    assert day.spent == [(4_000_000, "EUR"), (500, "USD")]
    assert last_day(timezone.now(), alice).requests == 1


def test_without_calls_there_are_no_figures(alice: Any, signed_in: Any) -> None:
    assert "Requests, 24 h" not in signed_in(alice).get("/").content.decode()


def test_a_member_sees_their_own_figures(bob: Any, alice: Any, signed_in: Any) -> None:
    for number in range(3):
        _call(f"a{number}", alice)
    _call("b", bob)
    mine = signed_in(bob).get("/").content.decode()
    assert "Your requests, 24 h</span><b>1</b>" in mine
    assert "€0.0020" in mine
    assert "Requests, 24 h</span><b>4</b>" in signed_in(alice).get("/").content.decode()


def test_the_page_asks_a_fixed_number_of_questions(
    alice: Any, research: Team, signed_in: Any, django_assert_num_queries: Any
) -> None:
    client = signed_in(alice)
    client.get("/")
    for number in range(12):
        make_model(make_provider(f"Vendor {number}", "custom"), "m")
        audit.record(alice, "change", research)
        _call(f"x{number}", alice)
    with django_assert_num_queries(QUERIES):
        client.get("/")


QUERIES = 24

"""What could these letters mean?"""

from __future__ import annotations

import time
from typing import Any

import pytest

from console.palette import MOST, fit, search
from tests.factories import make_model, make_provider, make_team, make_user

pytestmark = pytest.mark.django_db


def rows(person: Any, letters: str) -> dict[str, list[str]]:
    return {str(found.label): [row.label for row in found.rows] for found in search(person, letters)}


@pytest.mark.parametrize(
    ("letters", "text", "rank"),
    [
        ("", "Teams", 0),
        ("te", "Teams", 0),
        ("col", "Invite a colleague", 1),
        ("son", "claude-sonnet", 1),
        ("llea", "Invite a colleague", 2),
        ("ivc", "Invite a colleague", 3),
        ("ce", "nice pace", 2),
    ],
)
def test_how_letters_fit(letters: str, text: str, rank: int) -> None:
    found = fit(letters, text)
    assert found is not None
    assert found.rank == rank


def test_letters_in_another_order_do_not_fit() -> None:
    assert fit("zt", "Teams") is None
    assert fit("mt", "Teams") is None


def test_without_letters_it_offers_acts_and_places(alice: Any) -> None:
    assert set(rows(alice, "")) == {"Actions", "Go to"}
    assert "Teams" in rows(alice, "")["Go to"]


def test_the_closest_group_stands_first(alice: Any) -> None:
    make_user("Clara Colas")
    assert next(iter(rows(alice, "clara"))) == "People"


def test_it_finds_by_role(alice: Any, bob: Any, research: Any) -> None:
    make_model(make_provider(), "relay-research")
    assert {"Models", "Teams"} <= set(rows(alice, "research"))
    assert "Bob" in rows(alice, "bob")["People"]
    assert set(rows(bob, "research")) == {"Models"}
    assert rows(bob, "alice") == {}
    assert "Invite a colleague" not in rows(bob, "invite").get("Actions", [])


def test_a_lead_finds_their_own_team_only(research: Any) -> None:
    make_team("Research abroad")
    lead = make_user("Lea", teams=[research], lead=True)
    assert rows(lead, "research")["Teams"] == ["Research"]


def test_never_more_than_twelve(alice: Any) -> None:
    for number in range(20):
        make_user(f"Zoe {number:02d}")
    assert sum(len(found) for found in rows(alice, "zoe").values()) == MOST


def test_names_are_shown_as_text(alice: Any, signed_in: Any) -> None:
    make_user("<img src=x> Mallory", email="m@example.org")
    page = signed_in(alice).get("/palette/?q=mallory").content.decode()
    assert "<img" not in page
    assert "<mark>Mallory</mark>" in page


@pytest.mark.store
def test_odd_letters_are_only_letters(alice: Any) -> None:
    for letters in ("(", "[a-z]", "a\\", "^$.*", "%_", "d’é", "\u0000"[:0] + "}{", "日本"):
        search(alice, letters)


@pytest.mark.store
def test_letters_with_gaps_are_found_and_never_slow(alice: Any) -> None:
    make_user("Aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa Bert", email="aa@example.org")
    assert "People" in rows(alice, "abrt")
    began = time.perf_counter()
    assert rows(alice, "a" * 60 + "!") == {}
    assert time.perf_counter() - began < 1


def test_nothing_found_says_so(alice: Any, signed_in: Any) -> None:
    assert "Nothing found" in signed_in(alice).get("/palette/?q=qqqqqq").content.decode()


def test_a_model_opens_its_page(bob: Any) -> None:
    model = make_model(make_provider(), "relay-1")
    [found] = [found for found in search(bob, "relay-1") if str(found.label) == "Models"]
    assert found.rows[0].href == f"/models/{model.pk}/"

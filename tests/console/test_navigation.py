"""Which places are there, and who sees them."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import resolve

from console.access import can
from console.models import Role
from console.navigation import ACTS, GROUPS, acts_for, groups_for, here
from tests.factories import make_user

PLACES = [place for group in GROUPS for place in group.places]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.key)
def test_no_place_leads_nowhere(place: Any) -> None:
    assert resolve(place.address).view_name == place.name


@pytest.mark.parametrize("act", ACTS, ids=lambda act: str(act.label))
def test_no_act_leads_nowhere(act: Any) -> None:
    if act.theme:
        assert act.address == "#"
    else:
        assert resolve(act.address.partition("?")[0]).view_name == act.name


def test_no_letter_is_given_twice() -> None:
    letters = [place.letter for place in PLACES if place.letter]
    assert len(letters) == len(set(letters))


@pytest.mark.parametrize("role", list(Role))
def test_a_place_one_may_not_see_is_absent(db: None, role: Role, signed_in: Any) -> None:
    person = make_user("Person", role=role)
    shown = {place.key for group in groups_for(person) for place in group.places}
    assert shown == {place.key for place in PLACES if can(person, place.action)}
    assert all(can(person, act.action) for act in acts_for(person))
    page = signed_in(person).get("/no-such-page/").content.decode()
    for place in PLACES:
        assert (f'data-go="{place.letter}"' in page) == (place.key in shown)


def test_a_group_without_places_has_no_heading(dana: Any) -> None:
    assert [group.key for group in groups_for(dana)] == ["work", "access"]


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/", "overview"),
        ("/play/12/", "playground"),
        ("/providers/", "providers"),
        ("/providers/openai/models/", "providers"),
        ("/teams/research/", "teams"),
        ("/people/", "teams"),
        ("/profile/", ""),
        ("/settings/", "settings"),
    ],
)
def test_where_one_is(path: str, key: str) -> None:
    assert here(PLACES, path) == key

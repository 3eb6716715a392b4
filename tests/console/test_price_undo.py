"""A price that somebody accepted, dismissed or typed is taken back: what holds then, and what the books say."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from django.utils import timezone

from billing.models import LedgerEntry, Price, PriceProposal
from billing.prices import Listed, price_at
from billing.withdrawal import take_back
from console.audit import verify
from console.models import AuditEntry
from providers.models import LanguageModel, current_revision
from tests.factories import make_model, make_price, make_provider

pytestmark = pytest.mark.django_db


@pytest.fixture
def client(adam: Any, signed_in: Any) -> Any:
    return signed_in(adam)


@pytest.fixture
def alpha() -> LanguageModel:
    model = make_model(make_provider("OpenAI", "openai", secret="test-key-of-openai"), "alpha", name="Alpha 1")
    make_price(model, "2.5", "10")
    return model


def propose(model: LanguageModel, **fields: Any) -> PriceProposal:
    usual = {"currency": "USD", "input_per_million": Decimal(2), "output_per_million": Decimal(9), "source": "a list"}
    listed = Listed(**usual | fields)
    return PriceProposal.objects.create(model=model, values=listed.values(), source=listed.source)


def press_undo(client: Any, page: str, **more: str) -> str:
    """The button of the notice that a page shows; the page after it."""
    form = re.search(r'<form class="undo" method="post" action="([^"]+)">(.*?)</form>', page, re.S)
    assert form, page
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form[2]))
    fields = {name: unescape(value) for name, value in fields.items() if name != "csrfmiddlewaretoken"}
    text: str = client.post(form[1], fields | more, follow=True).content.decode()
    return unescape(text)


def accepted(client: Any, proposal: PriceProposal) -> str:
    text: str = client.post(f"/models/prices/{proposal.pk}/accept/", follow=True).content.decode()
    return text


def used(price: Price) -> None:
    """A call is in the books that was paid by it."""
    now = timezone.now()
    LedgerEntry.objects.create(
        id=f"a-{price.pk}/charge/0", started_at=now, booked_at=now, request_id="r", attempt_id="a", kind="charge",
        purpose="api", provider="openai", model="alpha", usage_source="provider", amount_nano=1, currency="USD",
        price_id=price.pk,
    )  # fmt: skip


def input_now(model: LanguageModel) -> Decimal:
    price = price_at(model, timezone.now())
    assert price is not None
    return price.input_per_million


def rows(model: LanguageModel) -> list[tuple[int, bool]]:
    """Oldest first: what a million tokens cost, and whether it was ended."""
    found = model.prices.order_by("valid_from").values_list("input_per_million", "valid_until")
    return [(int(cost * 10), until is not None) for cost, until in found]


# -- accepted --------------------------------------------------------------------------------


@pytest.mark.store
def test_accepting_is_taken_back_and_proposed_again(client: Any, alpha: LanguageModel) -> None:
    proposal = propose(alpha)
    page = accepted(client, proposal)
    assert "openai:alpha has its new price." in page
    assert input_now(alpha) == 2
    before = current_revision()
    said = press_undo(client, page)
    assert "openai:alpha has its former price again." in said
    assert "Calls that were made meanwhile" not in said
    assert f"/models/prices/{proposal.pk}/accept/" in said  # it can be decided on again
    assert input_now(alpha) == Decimal("2.5")
    assert rows(alpha) == [(25, False), (20, True)]  # ended, not deleted: a call may still be on its way
    assert current_revision() != before  # every process is told
    assert AuditEntry.objects.filter(object_kind="price").count() == 2
    entry = AuditEntry.objects.latest("id")
    assert (entry.verb, entry.object_name) == ("withdraw", "openai:alpha")
    assert entry.content is not None
    assert entry.content["before"]["input_per_million"] == "2"
    assert entry.content["after"]["input_per_million"] == "2.5"
    assert verify().broken is None


@pytest.mark.store
def test_a_price_that_paid_a_call_stays_in_the_books(client: Any, alpha: LanguageModel, adam: Any) -> None:
    Price.objects.update(set_by_id=adam.pk, source="the contract")
    page = accepted(client, propose(alpha))
    used(alpha.prices.latest("valid_from"))
    said = press_undo(client, page)
    assert "has its former price again." in said
    assert "Calls that were made meanwhile keep the price they had." in said
    assert rows(alpha) == [(25, False), (20, False), (25, False)]
    again = alpha.prices.latest("valid_from")
    assert (again.set_by_id, again.source) == (adam.pk, "the contract")
    assert input_now(alpha) == Decimal("2.5")
    entry = AuditEntry.objects.latest("id")
    assert entry.content is not None
    assert "calls were paid by it" in entry.note


@pytest.mark.store
def test_an_announced_price_gives_back_the_place_it_took(client: Any, alpha: LanguageModel) -> None:
    day = timezone.now() + timedelta(days=9)
    make_price(alpha, "7", "8", valid_from=day, source="announced")
    page = accepted(client, propose(alpha, valid_from=day))
    assert [cost for cost, _ in rows(alpha)] == [25, 20]
    press_undo(client, page)
    assert rows(alpha) == [(25, False), (70, False)]
    assert alpha.prices.latest("valid_from").source == "announced"


def test_all_that_were_accepted_are_taken_back(client: Any, alpha: LanguageModel) -> None:
    beta = make_model(alpha.provider, "beta")
    make_price(beta, "4")
    numbers = [propose(alpha).pk, propose(beta).pk]
    page = client.post("/models/prices/accept/", {"proposal": numbers}, follow=True).content.decode()
    said = press_undo(client, page)
    assert "2 prices are as they were." in said
    assert (input_now(alpha), input_now(beta)) == (Decimal("2.5"), 4)
    assert set(PriceProposal.objects.filter(state="open").values_list("pk", flat=True)) == set(numbers)


def test_a_price_that_was_set_since_is_not_undone(client: Any, alpha: LanguageModel) -> None:
    page = accepted(client, propose(alpha))
    make_price(alpha, "3", valid_from=timezone.now())
    said = press_undo(client, page)
    assert "1 price stays: it has changed since." in said
    assert input_now(alpha) == 3
    assert not PriceProposal.objects.filter(state="open").exists()


def test_undone_twice_is_undone_once(client: Any, alpha: LanguageModel) -> None:
    page = accepted(client, propose(alpha))
    press_undo(client, page)
    assert "1 price stays: it has changed since." in press_undo(client, page)
    assert rows(alpha) == [(25, False), (20, True)]


def test_it_can_be_accepted_again_afterwards(client: Any, alpha: LanguageModel) -> None:
    proposal = propose(alpha)
    press_undo(client, accepted(client, proposal))
    accepted(client, proposal)
    assert input_now(alpha) == 2
    assert rows(alpha) == [(25, False), (20, True), (20, False)]


def test_a_newer_proposal_is_not_replaced(client: Any, alpha: LanguageModel) -> None:
    page = accepted(client, propose(alpha))
    newer = propose(alpha, input_per_million=Decimal(1))
    press_undo(client, page)
    assert PriceProposal.objects.get(state="open") == newer
    assert input_now(alpha) == Decimal("2.5")


def test_where_there_was_no_price_there_is_none_again(alpha: LanguageModel) -> None:
    beta = make_model(alpha.provider, "beta")
    price = make_price(beta, "1", valid_from=timezone.now())
    used(price)
    done = take_back(price.pk)
    assert done is not None
    assert done.former is None
    assert price_at(beta, timezone.now()) is None


@pytest.mark.parametrize("token", ["", "nonsense", "eyJhIjoxfQ:1abcde:xxxx"])
def test_a_token_that_is_not_ours_does_nothing(client: Any, alpha: LanguageModel, token: str) -> None:
    page = accepted(client, propose(alpha))
    assert "It is too late to take this back." in press_undo(client, page, token=token)
    assert input_now(alpha) == 2


def test_only_who_may_decide_may_take_it_back(client: Any, bob: Any, signed_in: Any, alpha: LanguageModel) -> None:
    page = accepted(client, propose(alpha))
    token = unescape(re.search(r'name="token" value="([^"]+)"', page)[1])  # type: ignore[index]
    other = signed_in(bob)
    assert other.post("/models/prices/undo/", {"token": token}).status_code == 403
    assert other.post("/models/prices/1/reopen/").status_code == 403
    assert other.get("/models/prices/undo/").status_code in (403, 405)
    assert input_now(alpha) == 2


# -- dismissed and typed ---------------------------------------------------------------------


@pytest.mark.store
def test_dismissing_is_taken_back(client: Any, alpha: LanguageModel) -> None:
    proposal = propose(alpha)
    page = client.post(f"/models/prices/{proposal.pk}/dismiss/", follow=True).content.decode()
    said = press_undo(client, page)
    assert "The price of openai:alpha is to be decided on again." in said
    assert PriceProposal.objects.get().state == "open"
    assert AuditEntry.objects.latest("id").verb == "restore"
    assert "Somebody has decided on this price already." in press_undo(client, page)


def test_a_typed_price_is_taken_back_with_what_gave_way_to_it(client: Any, alpha: LanguageModel) -> None:
    make_price(alpha, "7", "8", valid_from=timezone.now() + timedelta(days=9), source="announced")
    typed = {"currency": "USD", "input_per_million": "1", "output_per_million": "1"}
    page = client.post(f"/models/{alpha.pk}/price/", typed, follow=True).content.decode()
    assert [cost for cost, _ in rows(alpha)] == [25, 10]
    said = press_undo(client, page)
    assert "has its former price again." in said
    assert input_now(alpha) == Decimal("2.5")
    assert rows(alpha) == [(25, False), (10, True), (70, False)]

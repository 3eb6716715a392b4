"""The list of models is turned over by the database: nothing is lost, shown twice or read that no page shows."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billing.models import Price, Request
from console.lineup import costs_at
from console.paging import SIZE
from providers.models import LanguageModel, Provider, configuration_changed
from tests.factories import LONG_AGO, make_provider

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true", "HX-Current-URL": "https://house.example.org/models/"}
MANY = 2 * SIZE + 20


@pytest.fixture
def client(adam: Any, signed_in: Any) -> Any:
    return signed_in(adam)


@pytest.fixture
def many(db: None) -> list[LanguageModel]:
    """Some share a price, a window or a name; some have none. Prices of the past and of days to come are about."""
    Provider.objects.all().delete()  # a new house has the demo's models already
    vendors = [make_provider("OpenAI", "openai", secret="test-key-a"), make_provider("Mistral", "mistral")]
    add(vendors, MANY)
    return list(LanguageModel.objects.select_related("provider"))


def add(vendors: list[Provider], count: int) -> None:
    now, before = timezone.now(), LanguageModel.objects.count()
    LanguageModel.objects.bulk_create(
        LanguageModel(
            provider=vendors[n % 2],
            model_id=f"m-{n:03}",
            name="" if n % 4 else f"Named {n % 12}",
            context=None if n % 9 == 0 else 1000 * (n % 7 + 1),
            capabilities=["tools"] if n % 2 else [],
            canonical=f"m-{n // 2}",
        )
        for n in range(before, before + count)
    )
    found = LanguageModel.objects.order_by("-pk")[:count]
    dated = [(LONG_AGO, 0), (now - timedelta(days=3), 5), (now + timedelta(days=3), 50)]
    Price.objects.bulk_create(
        Price(
            model=model, valid_from=begins, source="test", output_per_million=Decimal(more),
            input_per_million=Decimal((int(model.model_id[2:]) * 7) % 11 + more) / 8,
        )
        for model in found
        for begins, more in dated[: int(model.model_id[2:]) % 4]
    )  # fmt: skip
    times = [
        Request(
            id=f"req_{model.pk}", started_at=now - timedelta(hours=1), status="ok", purpose="api", asked_model="m",
            provider=model.provider.slug, model=model.model_id, first_token_ms=100 + model.pk % 5,
        )
        for model in found.select_related("provider")
        if model.pk % 2
    ]  # fmt: skip
    Request.objects.bulk_create(times)
    configuration_changed()


def turned(client: Any, query: str) -> list[list[int]]:
    """The models of all pages."""
    pages, address = [], f"/models/?{query}"
    while address:
        answer = client.get(address)
        pages.append([each["row"].model.pk for each in answer.context["rows"]])
        address = answer.context["next"] and "/models/" + answer.context["next"]
        assert len(pages) < 10
    return pages


def prices_of(column: str) -> Callable[[list[LanguageModel]], dict[int, Any]]:
    def known(models: list[LanguageModel]) -> dict[int, Any]:
        return {pk: getattr(cost, column) for pk, cost in costs_at(timezone.now()).items()}

    return known


def first_tokens(models: list[LanguageModel]) -> dict[int, Any]:
    return {model.pk: 100 + model.pk % 5 for model in models if model.pk % 2}


SORTS: dict[str, Callable[[list[LanguageModel]], dict[int, Any]]] = {
    "name": lambda models: {model.pk: (model.name or model.model_id).lower() for model in models},
    "context": lambda models: {model.pk: model.context for model in models if model.context},
    "input": prices_of("input"),
    "output": prices_of("output"),
    "first": first_tokens,
}


@pytest.mark.store
@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("sort", SORTS)
def test_all_pages_together_are_the_sorted_list(client: Any, many: list[LanguageModel], sort: str, down: bool) -> None:
    pages = turned(client, f"sort={'-' if down else ''}{sort}")
    assert [len(page) for page in pages] == [SIZE, SIZE, MANY - 2 * SIZE]
    known = SORTS[sort](many)
    expected = sorted(known, key=lambda pk: (known[pk], pk), reverse=down)
    shown = {model.pk: ((model.name or model.model_id).lower(), model.pk) for model in many}
    expected += sorted(shown.keys() - known.keys(), key=lambda pk: shown[pk])  # what nobody knows, either way
    assert [pk for page in pages for pk in page] == expected


def test_filters_stay_while_it_is_turned_over(client: Any, many: list[LanguageModel]) -> None:
    pages = turned(client, "can=tools&q=M&state=all")
    tools = {model.pk for model in many if model.capabilities}
    assert len(pages) == 2
    assert {pk for page in pages for pk in page} == tools
    first = client.get("/models/?can=tools").content.decode()
    assert f"Showing {SIZE} of {len(tools)}" in first
    assert "First page" not in first
    second = client.get(f"/models/?can=tools&after={_next(client, '?can=tools')}").content.decode()
    assert f"Showing {len(tools) - SIZE} of {len(tools)}" in second
    assert "First page" in second


def _next(client: Any, query: str) -> str:
    return str(client.get(f"/models/{query}").context["next"].rpartition("after=")[2])


def test_a_full_page_is_followed_by_what_nobody_knows(client: Any, many: list[LanguageModel]) -> None:
    """Where the known ones end with a page, the next one is not forgotten."""
    priced = sorted(costs_at(timezone.now()))
    LanguageModel.objects.exclude(pk__in=priced[:SIZE]).exclude(model_id="m-000").delete()
    assert [len(page) for page in turned(client, "sort=input")] == [SIZE, 1]
    LanguageModel.objects.filter(model_id="m-000").delete()
    assert [len(page) for page in turned(client, "sort=input")] == [SIZE]


@pytest.mark.store
@pytest.mark.parametrize("sort", ["name", "input", "-context", "first"])
@pytest.mark.parametrize(
    "values", [["NaN", 1], ["1e999999", 1], [1, 1], ["x", "y"], ["a\0", 1], [10**30, 10**30], [], {"a": 1}, "k", None]
)
def test_a_cursor_that_is_made_up_harms_nothing(client: Any, many: list[LanguageModel], sort: str, values: Any) -> None:
    text = base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")
    for cursor in (f"k.{text}", f"u.{text}", text, "k.9-9-9", "u."):
        assert client.get("/models/", {"sort": sort, "after": cursor}).status_code == 200


@pytest.mark.store
@pytest.mark.parametrize("query", ["q=%00", "q=50%25_off", "q=%5C", "q=" + "x" * 500, "q=%F0%9F%92%B8"])
def test_whatever_is_looked_for(client: Any, many: list[LanguageModel], query: str) -> None:
    assert client.get(f"/models/?{query}").status_code == 200


@pytest.mark.parametrize("query", ["", "view=matrix", "sort=first", "sort=-context&can=tools&q=m", "state=unpriced"])
def test_the_queries_of_a_page_are_few_and_do_not_grow(client: Any, many: list[LanguageModel], query: str) -> None:
    vendors = list(Provider.objects.order_by("pk"))
    before = _queries(client, query)
    add(vendors, 3 * SIZE)
    client.get(f"/models/?{query}", headers=HTMX)  # what is kept for a revision is counted again
    after = _queries(client, query)
    assert len(after) == len(before) <= 11
    assert all("LIMIT" in sql or " IN (" in sql for sql in after if 'FROM "providers_languagemodel"' in sql), after


def _queries(client: Any, query: str) -> list[str]:
    client.get(f"/models/?{query}", headers=HTMX)
    with CaptureQueriesContext(
        connection,
    ) as captured:
        client.get(f"/models/?{query}", headers=HTMX)
    return [each["sql"] for each in captured.captured_queries]


def test_comparing_reads_only_what_is_compared(client: Any, many: list[LanguageModel]) -> None:
    chosen = "&".join(f"model={model.pk}" for model in many[:3])
    answer = client.get(f"/models/?view=compare&{chosen}")
    assert len(answer.context["compared"]) == 3
    assert "rows" not in answer.context
    assert len(_queries(client, f"view=compare&{chosen}")) <= 10


def test_counts_follow_a_change_at_once(client: Any, many: list[LanguageModel]) -> None:
    assert f"Search {MANY} models" in client.get("/models/").content.decode()
    model = many[0]
    client.post(f"/models/{model.pk}/offer/", {"sent": "active"})
    assert f"Search {MANY - 1} models" in client.get("/models/").content.decode()

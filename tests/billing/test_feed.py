"""The public list, as prices of our own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from billing.costs import PEAK, cost
from billing.feed import Feed, FeedBroken, bundled, published
from billing.prices import Listed, at_moment, rates_of
from providers.chat import Usage
from providers.price_lists import listed_as
from tests.billing.lists import listing

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def read(prices: Any, *, embedding: bool = False) -> list[Listed]:
    return published(listing(alpha=prices), NOW).steps("openai", "alpha", embedding=embedding)


def test_every_bucket_has_its_rate() -> None:
    (step,) = read(
        {
            "input_mtok": 2.5,
            "output_mtok": 10,
            "cache_read_mtok": 0.25,
            "cache_write_mtok": 3.125,
            "output_reasoning_mtok": 12,
            "input_audio_mtok": 32,
            "output_audio_mtok": 64,
            "cache_audio_read_mtok": 0.25,
            "requests_kcount": 12,
            "web_searches_kcount": 10,
        }
    )
    assert step == Listed(
        currency="USD",
        input_per_million=Decimal("2.5"),
        output_per_million=Decimal(10),
        cached_per_million=Decimal("0.25"),
        cache_write_per_million=Decimal("3.125"),
        reasoning_per_million=Decimal(12),
        audio_input_per_million=Decimal(32),
        audio_output_per_million=Decimal(64),
        per_request=Decimal("0.012"),
        source="genai-prices, published 2026-11-25",
    )


def test_long_prompts_have_rates_of_their_own() -> None:
    (step,) = read(
        {
            "input_mtok": {"base": 2, "tiers": [{"start": 200_000, "price": 4}, {"start": 900_000, "price": 9}]},
            "output_mtok": {"base": 10, "tiers": [{"start": 200_000, "price": 15}]},
            "cache_read_mtok": 0.5,
        }
    )
    rates = rates_of(step)
    for usage, nano in [
        (Usage(input=200_000, output=10), 400_100_000),
        (Usage(input=200_001, output=10), 800_154_000),
        (Usage(input=900_001, output=10), 8_100_159_000),
        (Usage(cached=200_001), 100_000_500),
    ]:
        assert cost(usage, rates).amount_nano == nano


def test_dates_are_steps_and_the_newest_of_a_day_counts() -> None:
    steps = read(
        [
            {"prices": {"input_mtok": 1, "output_mtok": 2}},
            {"constraint": {"start_date": "2026-12-01"}, "prices": {"input_mtok": 3, "output_mtok": 4}},
            {"constraint": {"start_date": "2026-08-01"}, "prices": {"input_mtok": 2, "output_mtok": 3}},
        ]
    )
    assert [step.input_per_million for step in steps] == [1, 2, 3]
    assert [step.valid_from for step in steps] == [
        None,
        datetime(2026, 8, 1, tzinfo=UTC),
        datetime(2026, 12, 1, tzinfo=UTC),
    ]
    current = at_moment(steps, NOW)
    assert current is not None
    assert current.input_per_million == 2


def test_hours_of_the_day_are_windows_in_utc_and_the_last_one_counts() -> None:
    steps = read(
        [
            {"prices": {"input_mtok": 1, "output_mtok": 2}},
            {"constraint": {"start_date": "2026-08-01"}, "prices": {"input_mtok": 2, "output_mtok": 3}},
            {
                "constraint": {"start_time": "09:00:00+08:00", "end_time": "12:00:00+08:00"},
                "prices": {"input_mtok": 4, "output_mtok": 6},
            },
            {
                "constraint": {"start_time": "02:00:00Z", "end_time": "03:00:00Z"},
                "prices": {"input_mtok": 5, "output_mtok": 7},
            },
        ]
    )
    assert [len(step.windows) for step in steps] == [0, 2]
    rates = rates_of(steps[-1])

    def rate(clock: str) -> tuple[Decimal, str]:
        found = rates.at(datetime.fromisoformat(f"2026-11-25 {clock}+00:00").timestamp())
        return found.input, found.label

    assert [rate(clock)[0] for clock in ("00:59", "01:00", "02:00", "03:00", "04:00")] == [2, 4, 5, 4, 2]
    assert rate("02:30")[1] == PEAK


def test_what_is_not_sold_by_the_token_has_no_price() -> None:
    assert read({"audio_hours": 0.36}) == []
    assert read({"input_mtok": 1}) == []
    assert read([{"prices": {"input_mtok": 1, "output_mtok": 2}}, {"prices": {"input_mtok": 1}}]) == []
    (embedding,) = read({"input_mtok": 0.02}, embedding=True)
    assert embedding.output_per_million == 0


def test_more_decimals_than_anybody_is_billed_by_are_rounded() -> None:
    (step,) = read({"input_mtok": 0.13999999999999999, "output_mtok": 0.0416666666666666})
    assert (step.input_per_million, step.output_per_million) == (Decimal("0.14"), Decimal("0.041666667"))


def test_a_batch_is_a_share_only_where_it_is_one() -> None:
    def feed(batch: dict[str, float]) -> Decimal | None:
        told = json.loads(listing(alpha={"input_mtok": 2, "output_mtok": 10}))
        told[0]["models"][0]["price_variants"] = [{"when": {"processing": "batch"}, "prices": batch}]
        return published(json.dumps(told).encode(), NOW).steps("openai", "alpha")[0].batch_share

    assert feed({"input_mtok": 1, "output_mtok": 5}) == Decimal("0.5")
    assert feed({"input_mtok": 1, "output_mtok": 9}) is None


@pytest.mark.parametrize(
    "text",
    [b"", b"no json", b"{}", b"[]", b'[{"id": 3}]', b'[{"id": "a", "models": "none"}]', b"\xff\xfe", b"[1, 2]"],
)
def test_a_file_that_is_no_list_is_refused_in_words(text: bytes) -> None:
    with pytest.raises(FeedBroken, match="price list"):
        published(text, NOW)


def test_unknown_names_are_not_guessed() -> None:
    feed = published(listing(alpha={"input_mtok": 1, "output_mtok": 2}), NOW)
    assert feed.steps("openai", "alpha-2") == []
    assert feed.steps("nobody", "alpha") == []


# -- the copy that comes with the package -------------------------------------------------


@pytest.fixture(scope="module")
def feed() -> Feed:
    return bundled()


def test_all_of_it_can_be_reckoned_with(feed: Feed) -> None:
    priced = 0
    for provider in feed.providers:
        for model in provider.models:
            steps = feed.steps(provider.id, model.id)
            priced += bool(steps)
            for step in steps:
                assert Listed.from_values(step.values()) == step
                rates_of(step)
    assert priced > 1000


def test_it_says_where_a_price_is_from(feed: Feed) -> None:
    assert all(step.source == feed.source for step in feed.steps("openai", "gpt-5"))
    (step, *_) = feed.steps("openai", "gpt-5-2025-08-07")
    assert step.source == f"{feed.source}: gpt-5"
    assert feed.source.startswith("genai-prices ")


def test_our_kinds_are_in_it(feed: Feed) -> None:
    known = {provider.id for provider in feed.providers}
    for kind, model in [("openai", "gpt-5"), ("huggingface", "deepseek-ai/DeepSeek-V3.2:novita"), ("bedrock", "x")]:
        place = listed_as(kind, model)
        assert place is not None
        assert place[0] in known, kind
    assert listed_as("huggingface", "deepseek-ai/DeepSeek-V3.2") is None
    assert listed_as("vllm", "anything") is None


def test_a_process_that_compares_no_prices_does_not_load_it(tmp_path: Path) -> None:
    """It is several megabytes of data, of no use to a worker that answers."""
    code = """
import sys, django
django.setup()
import billing.syncing, console.tasks, console.urls
sys.exit(any(name.startswith("genai_prices") for name in sys.modules))
"""
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "console.settings", "RELAYHOUSE_STATE": str(tmp_path)}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=environment).returncode == 0

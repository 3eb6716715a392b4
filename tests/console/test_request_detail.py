"""One request: what happened in words, where the time went, what it cost to the last digit, and what was said."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from billing.costs import NANO, Rates, cost, reported_cost, with_variants
from billing.ids import new_request_id, started_at
from billing.journal import Journal
from billing.models import Attempt, LedgerEntry, Team
from billing.records import Payer
from console import pruning, resealing
from console.happened import happened
from console.models import AuditEntry
from console.picking import current_snapshot
from console.receipt import receipt_of, reckoned
from console.said import parameters_of, turns_of
from console.waterfall import begin_of, fall_of, scale_of
from providers import vault
from providers.chat import Usage
from routing import contents
from routing.keys import create_key
from routing.models import KeptContent
from tests.billing.samples import opened
from tests.factories import make_attempt, make_entry, make_model, make_price, make_provider, make_request, make_user

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
HTMX = {"HX-Request": "true"}
DECISION = {
    "reason": "ROUTE chat/standard: drawn, weight 80",
    "candidates": [
        {"model": "slow:large", "usable": True, "verdict": "drawn, weight 80"},
        {"model": "quick:small", "usable": True, "verdict": "fallback"},
        {"model": "far:away", "usable": False, "verdict": "this key may not use it"},
    ],
}


def rerouted(**fields: Any) -> Any:
    """Eight seconds of silence, then an answer."""
    told = {"attempts": 2, "provider": "quick", "model": "small", "decision": DECISION, "queued_ms": 6}
    told |= {"first_token_ms": 8386, "duration_ms": 9906, "streamed": True}
    request = make_request(NOON, **(told | fields))
    fault = {"status": "failed", "billed": "voided", "error_code": "upstream_timeout", "upstream_status": 504}
    make_attempt(request, 1, provider="slow", model="large", duration_ms=8000, error_message="No token.", **fault)
    make_attempt(request, 2, provider="quick", model="small", duration_ms=1900)
    make_entry(request, 2)
    return request


def attempts_of(request: Any) -> list[Any]:
    return list(Attempt.objects.filter(request_id=request.id).order_by("number"))


def text_of(answer: Any) -> str:
    assert answer.status_code == 200
    text: str = answer.content.decode()
    return text


# -- in words ----------------------------------------------------------------------------------


def test_the_page_tells_the_whole_story(signed_in: Any, alice: Any, research: Team) -> None:
    slow, quick = make_provider("Slow", "mistral"), make_provider("Quick", "openai", secret="test-key-quick")
    make_model(slow, "large", name="Large One")
    make_model(quick, "small", name="Small One")
    key, _ = create_key("support-bot", team=research)
    request = rerouted(team=research, key=key, use_case="chat", ask={"input_tokens": 1284, "tags": ["beta"]})
    client = signed_in(alice)
    for answer in (client.get(f"/requests/{request.id}/"), client.get(f"/requests/{request.id}/", headers=HTMX)):
        text = text_of(answer)
        for words in (
            "Answered by Small One",
            "Rerouted",
            "Large One failed: it did not answer in time. So Small One answered.",
            "A route was followed",
            "far:away" if "far:away" in text else "was left out",
            "this key may not use it",
            "No token.",
            "504",
            "$0.0054",
            "Attempt 1 was not charged.",
            "support-bot",
            "Research",
            "beta",
            "Content was not kept (team setting)",
            f"/providers/{slow.slug}/",
            "12:00:00 UTC",
        ):
            assert words in text, words


@pytest.mark.parametrize(
    ("fields", "attempts", "sentence"),
    [
        ({"duration_ms": 1500}, [{}], "a:m answered in 1.5 s."),
        ({"duration_ms": 1500, "first_token_ms": 300}, [{}], "a:m began to answer after 300 ms"),
        ({}, [{"status": "failed", "error_code": "upstream_overloaded"}, {}], "a:m failed at first: it is overloaded."),
        (
            {},
            [{"status": "failed", "error_code": "upstream_error"}] * 2 + [{}],
            "2 attempts failed, the first at a:m: it reported a fault of its own. Then a:m answered.",
        ),
        (
            {"status": "failed"},
            [{"status": "failed", "error_code": "upstream_timeout"}],
            "a:m was asked and failed: it did not answer in time.",
        ),
        (
            {"status": "failed"},
            [{"status": "failed", "error_code": "upstream_timeout"}] * 3,
            "3 attempts failed, the last at a:m: it did not answer in time.",
        ),
        (
            {"status": "failed", "error_code": "tier_cap"},
            [],
            "Nobody was asked: it would cost more than its tier allows.",
        ),
        (
            {"status": "failed", "decision": {"problem": {"message": "There is no 'x'."}}},
            [],
            "Nobody was asked. There is no 'x'.",
        ),
        ({"status": "cancelled", "duration_ms": 2000}, [], "The client left after 2.0 s, before anybody was asked."),
        ({"status": "cancelled", "duration_ms": 2000}, [{"status": "cancelled"}], "before a:m had begun to answer."),
        (
            {"status": "cancelled", "duration_ms": 2000, "first_token_ms": 100},
            [{"status": "cancelled"}],
            "The client left after 2.0 s, while a:m was answering.",
        ),
        (
            {"status": "interrupted", "duration_ms": 2000, "error_code": "upstream_stream_interrupted"},
            [{"status": "interrupted"}],
            "a:m broke off after 2.0 s. What had come by then was passed on.",
        ),
        ({"status": "failed", "error_code": "brand_new_code"}, [], "Nobody was asked: brand new code."),
    ],
)
def test_the_first_sentence_says_what_happened(fields: Any, attempts: list[Any], sentence: str) -> None:
    request = make_request(**fields)
    for number, each in enumerate(attempts, 1):
        make_attempt(request, number, **each)
    told = happened(request, attempts_of(request), current_snapshot()).sentence
    assert sentence in told.replace("\u00a0", " ")


# -- where the time went -----------------------------------------------------------------------


def test_the_waterfall_has_one_scale() -> None:
    request = rerouted()
    attempts = attempts_of(request)
    assert begin_of(request, attempts) == [6, 8006]
    fall = fall_of(request, attempts, lambda slug: slug)
    told = [(row.bar.label, row.bar.begins, row.bar.lasts, row.bar.hatched) for row in fall.rows]
    assert told == [
        ("Gateway", 0, 6, False),
        ("Attempt 1", 6, 8000, True),
        ("It did not answer in time", 6, 0, False),
        ("Attempt 2", 8006, 1900, False),
        ("First token", 8006, 380, False),
        ("Streaming", 8386, 1520, False),
    ]
    assert [word for _, word in fall.ticks] == ["0", "2", "4", "6", "8", "10\u00a0s"]
    assert (fall.rows[1].start, fall.rows[1].long) == ("0.06", "80.00")
    assert fall.rows[1].bar.said == "Attempt 1, slow: from 6\u00a0ms to 8.0\u00a0s, 8.0\u00a0s"
    assert fall.rows[2].bar.said.endswith("504")


def test_what_was_waited_between_attempts_is_shown() -> None:
    request = make_request(duration_ms=3000, queued_ms=10, attempts=2)
    for number in (1, 2):
        make_attempt(request, number, duration_ms=1000, status="failed" if number == 1 else "ok")
    bars = [row.bar for row in fall_of(request, attempts_of(request), lambda slug: slug).rows]
    assert [(bar.begins, bar.lasts) for bar in bars if bar.label == "Waited to ask again"] == [(1010, 990)]


def test_a_request_that_nobody_answered_has_a_gateway_alone() -> None:
    request = make_request(status="failed", attempts=0, duration_ms=3)
    fall = fall_of(request, [], lambda slug: slug)
    assert [row.bar.label for row in fall.rows] == ["Gateway"]
    assert fall.ticks[-1] == (100, "5\u00a0ms")


@pytest.mark.parametrize(("most", "end"), [(0, 5), (5, 5), (6, 10), (999, 1000), (1001, 1250), (61_000, 100_000)])
def test_the_scale_ends_at_a_round_number(most: int, end: int) -> None:
    assert scale_of(most) == end


# -- money to the last digit -------------------------------------------------------------------

rate = st.decimals(0, 900, places=9, allow_nan=False) | st.sampled_from([Decimal("2.5"), Decimal(10), Decimal(0)])
count = st.integers(0, 2_000_000)


def entry_of(amount: int | None, formula: str, currency: str = "USD", **fields: Any) -> LedgerEntry:
    told = {"attempt_id": "req_1-1", "kind": "charge", "usage_source": "provider", "input_tokens": 7} | fields
    return LedgerEntry(amount_nano=amount, formula=formula, currency=currency, **told)


@given(st.lists(rate, min_size=8, max_size=8), st.lists(count, min_size=7, max_size=7), st.booleans())
def test_the_arithmetic_of_an_entry_adds_up(rates: list[Decimal], counts: list[int], batch: bool) -> None:
    named = Rates(1, "EUR", *rates[:5], per_request=rates[5], audio_input=rates[6], audio_output=rates[7],
                  batch_share=Decimal("0.5"))  # fmt: skip
    usage = Usage(*counts[:6], audio_input=counts[6])
    charged = cost(usage, named, batch=batch)
    found = reckoned(charged.formula)
    assert found is not None
    assert found.sum * NANO == found.amount * NANO == charged.amount_nano
    if len(charged.formula) <= 400:
        receipt = receipt_of(entry_of(charged.amount_nano, charged.formula, "EUR"))
        assert receipt.formula == ""
        assert len(receipt.items) == sum(part > 0 for part in (*_spoken(counts), rates[5]))


def _spoken(counts: list[int]) -> list[int]:
    spoken = min(counts[6], counts[0])
    return [counts[0] - spoken, *counts[1:6], spoken]


def test_which_of_the_rates_these_are_is_said() -> None:
    rates = Rates(1, "USD", Decimal(2), Decimal(10))
    long = with_variants(rates, [{"above": 100, "input": "4", "output": "18"}], [])
    charged = cost(Usage(input=1000, output=10), long)
    receipt = receipt_of(entry_of(charged.amount_nano, charged.formula))
    assert receipt.remark == "long prompts (over 100)"
    assert [(item.words, item.count, item.rate, item.amount) for item in receipt.items] == [
        ("Input", "1,000", "$4.00", "$0.00400"),
        ("Output", "10", "$18.00", "$0.00018"),
    ]
    assert receipt.total == "$0.00418"


@pytest.mark.parametrize(
    ("entry", "total", "shown"),
    [
        (entry_of(5_400_000, "(1200 input x 2.5 + 240 output x 10) / 1M = 0.0054 EUR"), "$0.0054", "EUR"),
        (entry_of(5_400_001, "(1200 input x 2.5 + 240 output x 10) / 1M = 0.0054 USD"), "$0.005400001", "0.0054"),
        (entry_of(9, "(1200 input x 2.5 + 240 out"), "$0.000000009", "out"),
        (entry_of(70, reported_cost(70, None, "USD").formula), "$0.00000007", "reported by the provider"),
        (entry_of(None, ""), "no price", ""),
    ],
)
def test_what_does_not_add_up_is_shown_as_it_was_booked(entry: LedgerEntry, total: str, shown: str) -> None:
    receipt = receipt_of(entry)
    assert receipt.total == total
    assert shown in receipt.formula
    assert [(item.words, item.count, item.amount) for item in receipt.items] == [("Input", "7", "")]


def test_the_price_and_its_date_stand_below(signed_in: Any, alice: Any) -> None:
    price = make_price(make_model(), valid_from=datetime(2026, 9, 12, tzinfo=UTC))
    request = make_request()
    make_entry(request, price_id=price.pk)
    make_entry(request, nano=-400_000, kind="adjustment", formula="late price", sequence=1, price_id=price.pk)
    text = text_of(signed_in(alice).get(f"/requests/{request.id}/"))
    assert "Price in force since 12 September 2026, from test." in text
    assert ("Correction" in text, "late price" in text) == (True, True)


# -- what was said -----------------------------------------------------------------------------


def keep(request_id: str, asked: dict[str, Any], answered: dict[str, Any], **fields: Any) -> KeptContent:
    sealed = {
        side: vault.seal(json.dumps(value), *contents.place(request_id, side))
        for side, value in (("asked", asked), ("answered", answered))
    }
    return KeptContent.objects.create(request_id=request_id, started_at=started_at(request_id), **sealed, **fields)


ASKED = {
    "model": "auto",
    "temperature": 0.5,
    "messages": [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "It's <b>what</b>?"}, {"type": "image_url", "image_url": {}}],
        },
        {"role": "assistant", "tool_calls": [{"function": {"name": "look", "arguments": "{}"}}]},
    ],
}
ANSWERED = {"text": "This is it.", "reasoning": "Let me see.", "tool_calls": [{"name": "find", "arguments": '{"a":1}'}]}


def test_kept_content_reads_as_a_conversation() -> None:
    keep("req_1" + "0" * 31, ASKED, ANSWERED)
    found = contents.opened("req_1" + "0" * 31)
    assert found is not None
    told = [(turn.who, turn.text, turn.pieces) for turn in turns_of(found)]
    assert [who for who, _, _ in told] == ["System prompt", "Question", "Earlier answer", "Reasoning", "Answer"]
    assert told[1][1] == "It's <b>what</b>?"
    assert (told[2][2], told[4][1:]) == (("look({})",), ("This is it.", ('find({"a":1})',)))
    assert json.loads(parameters_of(found)) == {"temperature": 0.5}


@pytest.mark.parametrize(("who", "sees"), [("alice", True), ("bob", True), ("lea", True), ("vera", False)])
def test_content_is_for_whoever_asked_and_for_those_who_look_after_it(
    request: Any, signed_in: Any, research: Team, bob: Any, who: str, sees: bool
) -> None:
    person = make_user("Lea", teams=[research], lead=True) if who == "lea" else request.getfixturevalue(who)
    row = make_request(team=research, user=bob)
    keep(row.id, ASKED, ANSWERED, cut=True)
    answer = signed_in(person).get(f"/requests/{row.id}/")
    text = text_of(answer)
    assert ("This is it." in text, "It was too long to be kept whole." in text) == (sees, sees)
    assert ("Content is not for you" in text) is not sees
    assert "<b>what</b>" not in text
    assert answer["Cache-Control"] == "no-store"
    assert ("Be brief." in answer.context["curl"]) is sees


def test_why_there_is_no_content_is_said(signed_in: Any, alice: Any, research: Team) -> None:
    client = signed_in(alice)
    key, _ = create_key("test", team=research)
    row = make_request(team=research, key=key)

    def said() -> str:
        return text_of(client.get(f"/requests/{row.id}/"))

    assert "Content was not kept (team setting)" in said()
    Team.objects.filter(pk=research.pk).update(keeps_content=True)
    assert "It was asked before keeping was switched on, more than 30 days ago" in said()
    key.keeps_content = False
    key.save()
    assert "Content was not kept (setting of the key)" in said()


def test_content_of_a_lost_key_says_so(signed_in: Any, alice: Any) -> None:
    row = make_request()
    kept = keep(row.id, ASKED, ANSWERED)
    KeptContent.objects.filter(pk=kept.pk).update(asked=f"gone:{kept.asked.partition(':')[2]}")
    assert "sealed under a key that has left the key ring" in text_of(signed_in(alice).get(f"/requests/{row.id}/"))


def test_content_goes_when_its_time_ends(settings: Any) -> None:
    settings.CONTENT_DAYS = 2
    now = timezone.now()
    for days in (1, 3):
        request_id = new_request_id(int((now - timedelta(days=days)).timestamp() * 1000))
        keep(request_id, ASKED, ANSWERED)
    assert pruning.prune(now)["kept contents"] == 1
    assert KeptContent.objects.get().started_at > now - timedelta(days=2)


def test_content_is_sealed_anew_with_everything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    old = vault.key_ring()
    row = keep("req_2" + "0" * 31, ASKED, ANSWERED)
    monkeypatch.setattr(vault, "key_ring", lambda: {"new": b"n" * 32, **old})
    assert resealing.reseal().broken == []
    row.refresh_from_db()
    assert (row.asked[:4], row.answered[:4]) == ("new:", "new:")
    monkeypatch.setattr(vault, "key_ring", lambda: {"new": b"n" * 32})
    assert contents.opened(row.request_id) == contents.Opened(ASKED, ANSWERED)


def test_the_call_can_be_copied_without_a_secret(signed_in: Any, alice: Any, research: Team) -> None:
    key, secret = create_key("test", team=research)
    row = make_request(team=research, key=key, asked_model="auto/chat")
    keep(row.id, {"messages": [{"role": "user", "content": "It's"}]}, {})
    told = signed_in(alice).get(f"/requests/{row.id}/").context["curl"]
    assert '"model": "auto/chat"' in told
    assert "It'\"'\"'s" in told
    assert "$RELAYHOUSE_API_KEY" in told
    assert secret not in told


# -- not in the database yet -------------------------------------------------------------------


def test_a_request_that_only_a_journal_knows_is_said_to_run(
    signed_in: Any, alice: Any, bob: Any, charlie: Any, tmp_path: Path, settings: Any
) -> None:
    settings.JOURNAL_FOLDER = tmp_path
    request_id = new_request_id()
    journal = Journal.open(tmp_path, "node-1")
    try:
        journal.append(opened(request_id, payer=Payer("api", None, bob.pk)))
        for person, status in ((alice, 200), (bob, 200), (charlie, 404)):
            answer = signed_in(person).get(f"/requests/{request_id}/", headers=HTMX)
            assert answer.status_code == status
            assert ("This request is still running." in answer.content.decode()) is (status == 200)
    finally:
        journal.close()
    assert signed_in(alice).get("/requests/req_nonsense/").status_code == 404
    assert signed_in(alice).get(f"/requests/{new_request_id()}/").status_code == 404


# -- the team's setting ------------------------------------------------------------------------


def test_a_lead_switches_keeping_on_and_it_is_written_down(signed_in: Any, research: Team) -> None:
    client = signed_in(make_user("Lea", teams=[research], lead=True))
    assert "Keep what was asked and answered" in client.get("/teams/research/").content.decode()
    told = {"name": "Research", "keeps_content": "on", "data_policy": "eu_only"}
    assert client.post("/teams/research/settings/", told).status_code == 302
    research.refresh_from_db()
    assert (research.keeps_content, research.data_policy) == (True, "eu_only")
    entry = AuditEntry.objects.get(verb="change")
    assert entry.content["after"] == {"keeps_content": True, "data_policy": "eu_only"}
    assert client.post("/teams/research/settings/", told | {"data_policy": "moon"}).status_code == 422

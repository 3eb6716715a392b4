"""What would happen: the walk from candidate to candidate, with what is pretended of them; nobody is called."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from routing.deciding import Circumstances
from routing.simulation import CHOICES, Question, Simulated, simulate
from tests.routing.test_routes import CHEAP, DEAR, FAIR, NOW, ask, first, route, snapshot

FIELDS = {"messages": msgspec.Raw(b'[{"role":"user","content":"Say hello to everybody who is here."}]')}


def would(chain: dict[str, Any], pretend: dict[str, str] | None = None, **asked: Any) -> Simulated:
    return simulate(
        Question(ask(**asked), FIELDS, NOW, pretend=pretend or {}), snapshot(route(chain)), Circumstances(NOW)
    )


def test_nobody_pretends_anything_and_the_first_answers() -> None:
    found = would(first(FAIR, CHEAP))
    assert found.answered_by == FAIR
    assert [(each.model, each.outcome) for each in found.tried] == [(FAIR, "answers")]
    assert found.cost_nano == found.ask.input_tokens * 10_000 + found.output_tokens * 10_000
    assert (found.currency, found.problem) == ("USD", None)


@pytest.mark.parametrize(
    ("pretend", "on", "answers"),
    [
        ("down", [], True),
        ("down", ["server_error"], True),
        ("down", ["rate_limited"], False),
        ("slow", ["first_token"], True),
        ("rate_limited", ["429"], True),
        ("server_error", ["5xx"], True),
        ("auth", ["auth"], True),
        ("context_length", [], False),
        ("context_length", ["context_length"], True),
        ("content_filter", ["content_filter"], True),
        ("limited", ["unavailable"], True),
        ("limited", [], True),
        ("off", ["timeout"], True),
        ("over_budget", ["over_budget"], True),
    ],
)
def test_what_is_pretended_of_the_first_decides_who_answers(pretend: str, on: list[str], answers: bool) -> None:
    found = would(first(FAIR, (CHEAP, on)), {"fair": pretend})
    assert (found.answered_by == CHEAP) is answers
    assert (found.problem is None) is answers


def test_every_choice_is_known_of_a_provider_and_of_a_model() -> None:
    for choice in CHOICES:
        for whom in ("fair", FAIR.string):
            found = would(first(FAIR), {whom: choice})
            assert found.answered_by is None
            assert found.problem is not None
            assert "pretended" in found.problem.message


def test_one_that_is_busy_is_asked_again_after_a_wait() -> None:
    found = would(first(FAIR), {"fair": "rate_limited"})
    assert [each.outcome for each in found.tried] == ["rate_limit_exceeded"] * 3
    assert [each.waited_seconds for each in found.tried] == [0.0, 0.25, 0.5]
    assert found.problem is not None
    assert found.problem.status == 429


def test_a_refusal_before_anybody_is_asked_is_told() -> None:
    found = would(first(DEAR), tier="economy", complexity="high")
    assert found.answered_by == CHEAP  # the next cheaper one
    refused = simulate(
        Question(ask(tier="economy"), FIELDS, NOW), snapshot(route(first(DEAR)), models=(DEAR,)), Circumstances(NOW)
    )
    assert refused.problem is not None
    assert (refused.problem.code, refused.tried) == ("tier_cap", ())

"""A key that lists a use case may have its route, with whatever models that names, and nothing else."""

from __future__ import annotations

from routing.decisions import Live
from routing.engine import decide
from tests.routing.test_routes import CHEAP, DEAR, FAIR, NOW, ask, first, route, snapshot

HERE = snapshot(route(first(DEAR, FAIR)), house_default=CHEAP.string)


def chosen(*allowed: str, model: str = "auto", use_case: str = "code") -> tuple[str, str]:
    """The first usable candidate, or the problem."""
    told = decide(ask(model=model, use_case=use_case, allowed_models=frozenset(allowed)), HERE, Live(), now=NOW)
    usable = [each.model.string for each in told.candidates if each.usable]
    return (usable[0] if usable else ""), told.problem.code if told.problem else ""


def test_a_listed_use_case_opens_its_route() -> None:
    assert chosen("auto/code") == (DEAR.string, "")
    assert chosen("auto/code", model="auto/code", use_case="code") == (DEAR.string, "")
    assert chosen("auto/code", CHEAP.string) == (DEAR.string, "")


def test_it_opens_nothing_else() -> None:
    assert chosen("auto/code", model=CHEAP.string, use_case="") == ("", "model_not_allowed")
    assert chosen("auto/chat") == ("", "model_not_allowed")
    assert chosen("auto/code", model="auto", use_case="") == ("", "model_not_allowed")


def test_where_no_route_applies_the_default_model_must_be_listed_itself() -> None:
    assert chosen("auto/chat", use_case="chat") == ("", "model_not_allowed")
    assert chosen("auto/chat", CHEAP.string, use_case="chat") == (CHEAP.string, "")


def test_models_that_are_listed_still_narrow_a_route() -> None:
    assert chosen(FAIR.string) == (FAIR.string, "")
    assert chosen(CHEAP.string) == ("", "model_not_allowed")

"""What flags govern: a switch holds whatever its provider is called by now, and whatever name it was given."""

from __future__ import annotations

import pytest

from providers.models import FormerSlug, ModelAlias
from routing.asks import Ask
from routing.compiler import compile_snapshot
from routing.deciding import Circumstances, decided
from routing.models import Flag
from tests import factories
from tests.routing.test_routes import NOW

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def house() -> None:
    """Two accounts of one kind, and a third of another; all serve the same model."""
    for name, kind in (("Ours", "gemini"), ("Theirs", "gemini"), ("Old Box", "vllm")):
        address = "http://127.0.0.1:1/v1" if kind == "vllm" else ""
        secret = "" if kind == "vllm" else "test-key-gemini"
        provider = factories.make_provider(name, kind, base_url=address, secret=secret)
        model = factories.make_model(provider, "flash", listed=True)
        if name == "Ours":
            ModelAlias.objects.create(model=model, name="quick")
        if name == "Old Box":
            FormerSlug.objects.create(provider=provider, slug="young-box")


def off_for(governs: str) -> set[str]:
    """Which of the three are passed over, when this is switched off."""
    Flag.objects.create(key="kill", governs=governs, enabled=False)
    snapshot = compile_snapshot()
    decision = decided(Ask("req_1", "flash"), snapshot, Circumstances(NOW), {}, lambda: 1)
    assert len(decision.candidates) == 3
    assert all("flag 'kill'" in each.verdict for each in decision.candidates if not each.usable)
    return {each.model.provider.slug for each in decision.candidates if not each.usable}


@pytest.mark.parametrize(
    ("governs", "off"),
    [
        ("provider:ours", {"ours"}),
        ("provider:Ours", {"ours"}),
        ("provider:young-box", {"old-box"}),  # what it was called when the flag was written
        ("provider:gemini", {"ours", "theirs"}),  # a kind, as the routes of a new house name them
        ("model:ours:flash", {"ours"}),
        ("model:young-box:flash", {"old-box"}),
        ("model:quick", {"ours"}),
        ("model:gemini:flash", {"ours", "theirs"}),
        ("model:flash", {"ours", "theirs", "old-box"}),
        ("provider:mistral", set()),  # nobody has connected it
        ("model:mistral:flash", set()),
    ],
)
def test_a_switch_holds_by_every_name(governs: str, off: set[str]) -> None:
    assert off_for(governs) == off

"""Servers of our own, connected by a file that says no more than where they are."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import uvicorn
import yaml
from django.utils import timezone

from billing.ids import new_request_id
from routing.asks import Ask
from routing.compiler import compile_snapshot
from routing.decisions import Live
from routing.engine import decide
from tests.console.files import Files, export
from tests.services import free_port

pytestmark = pytest.mark.django_db


class Local:
    """An OpenAI-shaped server on this machine, as vLLM would be one: the pretend vendor on a real socket."""

    def __init__(self) -> None:
        self.port = free_port()

    def __enter__(self) -> Local:
        from providers.demo import Application

        config = uvicorn.Config(Application(pace=0), host="127.0.0.1", port=self.port, log_level="error")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        deadline = time.monotonic() + 10
        while not self.server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        return self

    def __exit__(self, *error: Any) -> None:
        self.server.should_exit = True
        self.thread.join(10)

    def declared(self, kind: str = "vllm", name: str = "Mine") -> dict[str, Any]:
        return {"providers": [{"name": name, "kind": kind, "base_url": f"http://127.0.0.1:{self.port}/v1"}]}


@pytest.mark.store
@pytest.mark.parametrize("kind", ["vllm", "lmstudio", "docker-model-runner"])
def test_a_server_of_our_own_needs_no_further_word(files: Files, kind: str) -> None:
    with Local() as local:
        printed = files.apply(local.declared(kind))
        assert "new here: mine:" in printed
        snapshot = compile_snapshot()
        model = snapshot.models[("mine", "relay-1")]
        assert model.offered
        rates = model.rates_at(time.time())
        assert rates is not None
        assert (rates.input, rates.output) == (0, 0)
        assert "Nothing to change." in files.apply(local.declared(kind))
    assert [each["id"] for each in yaml.safe_load(export())["providers"][0].get("models", [])] == []


def test_a_server_that_is_down_is_no_fault_and_is_read_later(files: Files) -> None:
    with Local() as local:
        pass
    printed = files.apply(local.declared())
    assert "Mine: its list of models could not be read: " in printed
    assert "It is read when a model of it is asked for." in printed
    with local:
        assert "Mine lists" in files.apply(local.declared())
        assert compile_snapshot().models[("mine", "relay-1")].offered


def test_what_the_file_switches_off_stays_off_whatever_the_list_says(files: Files) -> None:
    with Local() as local:
        content = local.declared()
        content["providers"][0]["models"] = [{"id": "relay-1", "active": False}, {"id": "custom", "active": True}]
        files.apply(content)
        assert "Nothing to change." in files.apply(content)
        assert not compile_snapshot().models[("mine", "relay-1")].active
        assert compile_snapshot().models[("mine", "custom")].offered
        content["providers"][0]["models"][0]["active"] = True
        files.apply(content)
        assert compile_snapshot().models[("mine", "relay-1")].offered


def test_a_default_model_waits_for_the_list(files: Files) -> None:
    with Local() as local:
        content = local.declared() | {"organisation": {"default_model": "mine:relay-1"}}
        files.apply(content)
        decision = decide(
            Ask(request_id=new_request_id(), model="auto"), compile_snapshot(), Live(), now=timezone.now()
        )
        assert [model.string for model in decision.usable] == ["mine:relay-1"]

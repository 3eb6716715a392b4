"""A key that somebody connects is nowhere but sealed: not in the database, logs, pages, errors, exports or journals.

The provider repeats the key in everything it says, as some do. Whatever shows or writes what it said must leave it out.
"""

from __future__ import annotations

import base64
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import misbehaviour
from tests.browser.conftest import PEOPLE, SESSION
from tests.house import House, wait_until
from tests.upstream import Exchange, Upstream

pytestmark = pytest.mark.promise

CANARY = "test-key-canary-7d1f0c55e2b94a6c8f3e"
KEY = """
from routing.keys import create_key
print(create_key("program", team=team)[1])
"""
AFTERWARDS = """
from django.core.management import call_command
call_command("export")
print("DUMP")
call_command("dumpdata", "--all")
"""
FORMS = {
    CANARY.encode(),
    base64.b64encode(CANARY.encode())[:-4],
    CANARY.encode().hex().encode(),
    CANARY[8:-4].encode(),  # also a key that was only shortened
}


async def repeats(it: Exchange) -> None:
    """401 with the key in the words, in the code and in a header."""
    said = {"error": {"message": f"Incorrect API key provided: {CANARY}.", "type": CANARY, "code": f"bad {CANARY}"}}
    await it.whole(json.dumps(said).encode(), 401, www_authenticate=f'Bearer error="{CANARY}"')


async def repeats_later(it: Exchange) -> None:
    """In the middle of an answer that began well."""
    told = {"error": {"message": f"Key {CANARY} has expired.", "code": "invalid_api_key"}}
    await misbehaviour.either(
        it, json.dumps(told).encode(), [*misbehaviour.events()[:3], b"data: " + json.dumps(told).encode() + b"\n\n"]
    )


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    misbehaviour.BEHAVIOURS |= {"repeats": repeats, "repeats-later": repeats_later}
    with Upstream() as server:
        server.models = ["ok", "repeats", "repeats-later"]
        yield server
    del misbehaviour.BEHAVIOURS["repeats"], misbehaviour.BEHAVIOURS["repeats-later"]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path, LOG_LEVEL="DEBUG", METRICS_TOKEN="test-metrics") as house:
        yield house


class Admin:
    """A browser with a session, that keeps every page it saw."""

    def __init__(self, house: House) -> None:
        told = house.manage("shell", "-v0", "-c", PEOPLE + SESSION.format(email="claire@example.org") + KEY).split()
        session, self.program = told[-2:]
        self.client = httpx.Client(base_url=house.url, cookies={"relayhouse_session": session}, timeout=60)
        self.seen: list[bytes] = []

    def get(self, path: str) -> str:
        answer = self.client.get(path, follow_redirects=True)
        self.seen.append(answer.content)
        return answer.text

    def post(self, path: str, fields: dict[str, Any], page: str = "/providers/add/vllm/", **headers: str) -> str:
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self.get(page))
        assert token is not None
        answer = self.client.post(path, data=fields | {"csrfmiddlewaretoken": token[1]}, headers=headers)
        self.seen += [answer.content, str(answer.headers).encode()]
        return answer.text


@pytest.fixture
def admin(house: House) -> Iterator[Admin]:
    there = Admin(house)
    yield there
    there.client.close()


def holds(data: bytes) -> bool:
    return any(form in data for form in FORMS)


def test_a_key_is_nowhere_to_be_found(house: House, upstream: Upstream, admin: Admin) -> None:
    draft = {"kind": "vllm", "name": "Canary", "base_url": upstream.base_url, "key": f' "{CANARY}" '}
    for line in ("", "key/", "stream/", "models/"):
        told = admin.post(f"/providers/check-draft/{line}", draft, **{"HX-Request": "true"})
        assert 'class="bad"' not in told
    upstream.behave("repeats")
    assert "refused this key" in admin.post("/providers/check-draft/key/", draft, **{"HX-Request": "true"})
    assert "refused this key" in admin.post("/providers/check-draft/", draft)
    admin.post("/providers/add/vllm/", draft | {"name": "demo", "enable": "1"})  # refused: the name is taken
    upstream.behave(None)
    admin.post("/providers/add/vllm/", draft | {"enable": "1"})
    assert any(CANARY in str(seen.headers) for seen in upstream.requests), "it was used at all"

    wait_until(lambda: b"Hello from upstream" in ask(house, admin.program, "ok", False))  # the change is live
    answers = [
        ask(house, admin.program, model, stream)
        for model in ("ok", "repeats", "repeats-later")
        for stream in (False, True)
    ]
    upstream.behave("repeats")
    admin.post("/providers/canary/models/read/", {}, "/providers/canary/models/")
    admin.post("/providers/canary/credentials/check/2/", {}, "/providers/canary/credentials/")
    admin.post("/providers/canary/credentials/check/1/", {}, "/providers/canary/credentials/")
    admin.post("/providers/canary/trial/", {"model": "ok"}, "/providers/canary/")
    admin.post("/providers/canary/credentials/add/", {"name": "b", "key": CANARY}, "/providers/canary/credentials/add/")
    for path in ("", "models/", "limits/", "credentials/", "activity/"):
        assert "Canary" in admin.get(f"/providers/canary/{path}")
    for path in ("/", "/providers/", "/models/", "/api/openapi.json", "/palette/?q=canary"):
        admin.get(path)
    metrics = httpx.get(f"{house.url}/metrics", headers={"authorization": "Bearer test-metrics"}).content
    assert b"canary" in metrics
    journals = b"".join(
        path.read_bytes() for path in house.state.rglob("*") if path.is_file() and "journal" in str(path)
    )
    assert house.stop() == 0
    exported, _, dump = house.manage("shell", "-v0", "-c", AFTERWARDS).encode().partition(b"DUMP")
    assert b"Canary" in exported

    places = {
        "a page": b"".join(admin.seen),
        "an answer": b"".join(answers),
        "metrics": metrics,
        "a journal": journals,
        "an export": exported,
        "the log": house.log.read_bytes(),
        "a dump": dump,
    }
    places |= {str(path): path.read_bytes() for path in house.state.rglob("*") if path.is_file()}
    assert [place for place, data in places.items() if holds(data)] == []
    assert CANARY[-4:].encode() in places["a dump"], "the dump has the credential, by its end"


def ask(house: House, key: str, model: str, stream: bool) -> bytes:
    """A program's call, and whatever it is told."""
    body = json.dumps({"model": f"canary:{model}", "stream": stream, "messages": [{"role": "user", "content": "Hi"}]})
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    request = urllib.request.Request(f"{house.url}/v1/chat/completions", body.encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return bytes(answer.read()) + str(answer.headers).encode()
    except urllib.error.HTTPError as error:
        return error.read() + str(error.headers).encode()

"""Connecting a provider: what the form asks, the check line by line against a real server, and what is kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from console.models import AuditEntry
from providers import connector
from providers.models import Credential, LanguageModel, Provider
from providers.registry import KINDS
from tests.factories import make_provider
from tests.upstream import Upstream, refusing_url

KEY = "test-key-good-0001"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def upstream(settings: Any) -> Iterator[Upstream]:
    settings.PRIVATE_NETWORKS = ["127.0.0.0/8"]
    connector.hang_up()
    with Upstream() as server:
        server.models = ["small-chat", "big-chat-preview", "text-embedding-small"]
        yield server
    connector.hang_up()


@pytest.fixture
def client(adam: Any, signed_in: Any) -> Any:
    return signed_in(adam)


def draft(upstream: Upstream, **more: str) -> dict[str, str]:
    return {"kind": "custom", "name": "House models", "base_url": upstream.base_url, "key": KEY} | more


def lines(client: Any, fields: dict[str, str]) -> list[str]:
    """The words of every line, each asked for as the page does it."""
    told, address = [], "/providers/check-draft/"
    while address:
        answer = client.post(address, fields, headers=HTMX)
        assert answer.status_code == 200
        page = answer.content.decode()
        told.append(page)
        address = page.partition('hx-post="/providers/check-draft/')[2].partition('"')[0]
        address = f"/providers/check-draft/{address}" if address else ""
    return told


# -- the catalogue ------------------------------------------------------------------------


def test_the_catalogue_shows_every_kind_in_its_group(client: Any) -> None:
    page = client.get("/providers/add/").content.decode()
    for kind in KINDS.values():
        assert (f'id="k-{kind.slug}"' in page) == (kind.slug != "demo"), kind.slug
    assert page.index("Hosted in the EU") < page.index('id="k-mistral"') < page.index("On your own machines")
    assert 'href="/providers/add/github-models/"' not in page
    assert KINDS["github-models"].retired in page.replace("&#x27;", "'")


def test_the_search_narrows_it(client: Any) -> None:
    page = client.get("/providers/add/?q=gro", headers=HTMX).content.decode()
    assert 'id="k-groq"' in page
    assert 'id="k-openai"' not in page
    assert "<html" not in page
    assert "custom endpoint" in client.get("/providers/add/?q=nobody").content.decode()


def test_only_what_the_kind_needs_is_asked(client: Any) -> None:
    page = client.get("/providers/add/bedrock/").content.decode()
    first = page[: page.index("Address, variable and priority")]
    assert 'name="option_region"' in first
    assert 'name="base_url"' not in first
    assert 'name="part_secret_access_key"' in first
    page = client.get("/providers/add/docker-model-runner/").content.decode()
    assert 'name="key"' not in page
    assert "http://localhost:12434/engines/v1" in page
    page = client.get("/providers/add/openai/").content.decode()
    assert 'name="option_organization"' in page, "what goes into a header, where it is set"
    assert '<option value="https://us.api.openai.com/v1">United States</option>' in page
    assert client.get("/providers/add/github-models/").status_code == 404
    assert client.get("/providers/add/demo/").status_code == 404


@pytest.mark.parametrize("who", ["vera", "bob", "dana"])
def test_only_admins_connect(request: Any, signed_in: Any, who: str) -> None:
    there = signed_in(request.getfixturevalue(who))
    assert there.get("/providers/add/").status_code == 403
    assert there.post("/providers/check-draft/", {"kind": "openai", "key": KEY}).status_code == 403


# -- the check ------------------------------------------------------------------------------


def test_a_good_key_gives_four_good_lines_and_the_models(client: Any, upstream: Upstream) -> None:
    told = lines(client, draft(upstream))
    assert len(told) == 4
    assert f"Reached 127.0.0.1:{upstream.port}" in told[0]
    assert "Key accepted" in told[1]
    assert "Streaming answer from small-chat" in told[2]
    assert "to first token" in told[2]
    assert "0 of 3 priced" in told[3]
    assert "3 models found" in told[3]
    assert 'value="small-chat" checked' in told[3]
    assert 'value="big-chat-preview" checked' not in told[3]
    assert 'value="text-embedding-small" checked' not in told[3]
    assert "3 prices are unknown" in told[3]
    assert not Provider.objects.exclude(kind="demo").exists(), "nothing is stored by a check"


def test_the_key_is_not_shown_to_the_address_before_it_answered(client: Any, upstream: Upstream) -> None:
    client.post("/providers/check-draft/", draft(upstream), headers=HTMX)
    assert [seen.headers.get("authorization") for seen in upstream.requests] == [None]
    client.post("/providers/check-draft/key/", draft(upstream), headers=HTMX)
    assert upstream.requests[-1].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("pasted", [f"  {KEY}\n", f'"{KEY}"', f"OPENAI_API_KEY='{KEY}'", f"Bearer {KEY}", f"“{KEY}”"])
def test_what_stands_around_a_key_is_left_out_and_said(client: Any, upstream: Upstream, pasted: str) -> None:
    page = client.post("/providers/check-draft/", draft(upstream, key=pasted), headers=HTMX).content.decode()
    assert "was left out" in page
    client.post("/providers/check-draft/key/", draft(upstream, key=pasted), headers=HTMX)
    assert upstream.requests[-1].headers["authorization"] == f"Bearer {KEY}"


def test_a_key_with_a_space_inside_is_not_sent(client: Any, upstream: Upstream) -> None:
    page = client.post("/providers/check-draft/", draft(upstream, key="test-key a-b"), headers=HTMX).content.decode()
    assert "a space, a line break" in page
    assert not upstream.requests


@pytest.mark.parametrize(
    ("behaviour", "line", "cause", "remedy"),
    [
        ("401", 1, "refused this key (401)", "belongs to this project"),
        ("404", 1, "Nothing is found there (404)", "the region"),
        ("429", 1, "was asked too often", "rotating it will not help"),
        ("402", 1, "has nothing left", "The key is fine"),
        ("503", 1, "over capacity or failing", "rotating the key will not help"),
        ("html-200", 1, "not as a model server does", "whole path"),
        ("redirects", 0, "sends elsewhere (302)", "Redirects are not followed"),
        ("resets", 0, "No answer from 127.0.0.1", "reach the internet"),
    ],
)
def test_a_failed_line_says_cause_and_remedy(
    client: Any, upstream: Upstream, behaviour: str, line: int, cause: str, remedy: str
) -> None:
    upstream.behave(behaviour)
    told = lines(client, draft(upstream))
    assert len(told) == line + 1, "what follows a failure is not asked"
    assert 'class="bad"' in told[-1]
    assert cause in told[-1]
    assert remedy in told[-1]
    assert KEY not in "".join(told)


def test_a_server_that_is_silent_is_told_from_one_that_is_not_there(
    client: Any, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.connecting.REACH_SECONDS", 0.3)
    upstream.behave("silent")
    assert "did not answer in time" in lines(client, draft(upstream))[-1]
    gone = lines(client, draft(upstream, base_url=refusing_url()))
    assert "No answer from 127.0.0.1" in gone[-1]
    local = lines(client, {"kind": "lmstudio", "base_url": refusing_url()})
    assert "Is LM Studio running, and does this server reach it?" in local[-1]


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://93.184.215.14/v1", "write https://"),
        ("http://10.1.2.3/v1", "PRIVATE_NETWORKS"),
        ("https://169.254.169.254/v1", "not allowed"),
        ("https://user:secret@api.example/v1", "not allowed"),
        ("https://api.example/v1?key=1", "what follows ?"),
        ("https://api.example/{project_id}/v1", "in the place of the braces"),
    ],
)
def test_an_address_that_may_not_be_dialled_is_refused(
    client: Any, upstream: Upstream, address: str, words: str
) -> None:
    page = client.post("/providers/check-draft/", draft(upstream, base_url=address), headers=HTMX).content.decode()
    assert words in page
    assert "Not checked yet." in page
    answer = client.post("/providers/add/custom/", draft(upstream, base_url=address))
    assert answer.status_code == 422
    assert words in answer.content.decode()


def test_a_name_that_resolves_to_a_private_address_is_refused(client: Any, upstream: Upstream, settings: Any) -> None:
    settings.PRIVATE_NETWORKS = []
    connector.hang_up()
    told = lines(client, draft(upstream, base_url="https://localhost:1/v1"))
    assert "This address is not allowed" in told[-1]


def test_without_scripts_all_lines_come_at_once(client: Any, upstream: Upstream) -> None:
    page = client.post("/providers/check-draft/", draft(upstream)).content.decode()
    assert "<html" in page
    assert "Key accepted" in page
    assert "Streaming answer" in page
    assert "3 models found" in page
    assert KEY not in page


def test_a_model_that_is_listed_but_not_served_gives_way_to_the_next(client: Any, upstream: Upstream) -> None:
    upstream.models = ["404", "small-chat"]
    assert "Streaming answer from small-chat" in lines(client, draft(upstream))[2]


def test_models_are_read_although_none_of_them_answers(client: Any, upstream: Upstream) -> None:
    upstream.models = ["503"]
    told = lines(client, draft(upstream))
    assert "over capacity" in told[2]
    assert "1 model found" in told[3]


# -- keeping ----------------------------------------------------------------------------------


def connect(client: Any, fields: dict[str, Any], how: str = "enable") -> Any:
    return client.post(f"/providers/add/{fields['kind']}/", fields | {how: "1"})


def test_what_is_connected_is_kept_with_the_models_that_were_ticked(client: Any, upstream: Upstream, adam: Any) -> None:
    chosen = {
        "shown": upstream.models,
        "model": ["small-chat", "text-embedding-small"],
        "currency": "EUR",
        "price_in_0": "0,25",
        "price_out_0": "1.5",
    }
    answer = connect(client, draft(upstream, key=f" {KEY} ") | chosen)
    assert answer.status_code == 302
    assert answer["Location"] == "/providers/house-models/"
    provider = Provider.objects.get(slug="house-models")
    assert provider.enabled
    assert not provider.inactive_reason
    assert provider.connected_by_id == adam.pk
    assert set(provider.models.filter(active=True).values_list("model_id", flat=True)) == set(chosen["model"])
    price = LanguageModel.objects.get(model_id="small-chat", provider=provider).prices.get()
    assert (str(price.input_per_million.normalize()), price.currency, price.set_by_id) == ("0.25", "EUR", adam.pk)
    key = provider.credentials.get()
    assert key.reveal() == KEY
    assert key.last_four == "0001"
    assert KEY not in key.sealed
    entry = AuditEntry.objects.get(object_kind="provider", verb="create")
    assert entry.actor_id == adam.pk
    assert KEY not in str(entry.content)
    page = client.get("/providers/house-models/").content.decode()
    assert "House models connected, 2 models" in page


def test_what_is_kept_off_stays_off(client: Any, upstream: Upstream) -> None:
    connect(client, draft(upstream), "keep")
    provider = Provider.objects.get(slug="house-models")
    assert not provider.enabled
    on = set(provider.models.filter(active=True).values_list("model_id", flat=True))
    assert on == {"small-chat"}, "embeddings and previews are off unless they are ticked"


def test_a_name_that_is_taken_is_refused_with_a_free_one(client: Any, upstream: Upstream) -> None:
    make_provider("House models", kind="vllm")
    answer = connect(client, draft(upstream))
    assert answer.status_code == 422
    assert "“House models 2” is free" in answer.content.decode()
    assert KEY not in answer.content.decode()
    part = client.post("/providers/add/custom/", draft(upstream), headers=HTMX)
    assert part.status_code == 422
    assert "<hx-partial" in part.content.decode()
    assert "<html" not in part.content.decode()
    make_provider("Groq", kind="groq", secret="test-key-0002")
    assert 'value="Groq 2"' in client.get("/providers/add/groq/").content.decode()


@pytest.mark.parametrize("name", ["", "  ", "日本", "add", "Check draft", "x" * 81])
def test_a_name_that_makes_no_address_is_refused(client: Any, upstream: Upstream, name: str) -> None:
    assert connect(client, draft(upstream, name=name)).status_code == 422


def test_a_variable_is_kept_by_name(client: Any, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_LLM_KEY", KEY)
    fields = draft(upstream, key="", variable="${TEST_LLM_KEY}")
    assert "Key accepted" in lines(client, fields)[1]
    connect(client, fields)
    key = Credential.objects.get(provider__slug="house-models")
    assert (key.variable, key.sealed) == ("TEST_LLM_KEY", "")


def test_the_secrets_of_the_house_are_no_keys(client: Any, upstream: Upstream) -> None:
    answer = connect(client, draft(upstream, key="", variable="SECRET_KEY"))
    assert answer.status_code == 422
    assert not Provider.objects.filter(slug="house-models").exists()
    client.post("/providers/check-draft/", draft(upstream, key="", variable="SECRET_KEY"), headers=HTMX)
    assert not upstream.requests


def test_parts_of_a_key_are_joined(client: Any) -> None:
    fields = {"kind": "bedrock", "name": "Bedrock", "option_region": "eu-west-9"}
    parts = {"part_access_key_id": "TESTACCESSKEY01", "part_secret_access_key": "test-secret-access"}
    answer = connect(client, fields | {"part_access_key_id": "TESTACCESSKEY01"}, "keep")
    assert answer.status_code == 422
    assert "This part is missing." in answer.content.decode()
    from console.forms.connect import DraftForm

    form = DraftForm(fields | parts, kind=KINDS["bedrock"])
    assert form.is_valid(), form.errors
    assert form.draft.secret == '{"access_key_id": "TESTACCESSKEY01", "secret_access_key": "test-secret-access"}'
    assert form.draft.options == {"region": "eu-west-9"}
    assert "secret-access" not in repr(form.draft)


def test_a_price_that_is_no_number_is_refused(client: Any, upstream: Upstream) -> None:
    answer = connect(client, draft(upstream) | {"shown": ["small-chat"], "price_in_0": "cheap"})
    assert answer.status_code == 422
    assert "not a number" in answer.content.decode()

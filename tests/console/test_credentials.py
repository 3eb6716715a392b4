"""The keys of a provider: shown by their end, checked before use, rotated with overlap, switched off and back on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from console.models import AuditEntry
from providers import connector, vault
from providers.models import Credential, Provider, current_revision
from routing.compiler import compile_snapshot
from tests.factories import make_model, make_provider
from tests.upstream import Upstream

OLD, NEW = "test-key-old-0001", "test-key-new-0002"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def upstream(settings: Any) -> Iterator[Upstream]:
    settings.PRIVATE_NETWORKS = ["127.0.0.0/8"]
    connector.hang_up()
    with Upstream() as server:
        server.models = ["small-chat"]
        yield server
    connector.hang_up()


@pytest.fixture
def client(adam: Any, signed_in: Any) -> Any:
    return signed_in(adam)


@pytest.fixture
def provider(db: None, upstream: Upstream) -> Provider:
    return make_provider("House", kind="custom", base_url=upstream.base_url, secret=OLD)


def key_of(provider: Provider, name: str = "default") -> Credential:
    return provider.credentials.get(name=name)


def test_keys_are_shown_by_their_end_only(client: Any, provider: Provider) -> None:
    page = client.get("/providers/house/credentials/").content.decode()
    assert "…0001" in page
    assert OLD not in page
    assert "In use" in page


@pytest.mark.parametrize(("who", "status"), [("vera", 200), ("bob", 403)])
def test_who_may_look_may_not_change(request: Any, signed_in: Any, provider: Provider, who: str, status: int) -> None:
    there = signed_in(request.getfixturevalue(who))
    page = there.get("/providers/house/credentials/")
    assert page.status_code == status
    assert b"Add key" not in page.content
    pk = key_of(provider).pk
    for path in ("add/", f"{pk}/rotate/", f"{pk}/state/", f"{pk}/delete/", f"{pk}/weight/", f"check/{pk}/"):
        assert there.post(f"/providers/house/credentials/{path}").status_code == 403
    assert key_of(provider).enabled


def test_a_key_is_tried_before_it_is_added(client: Any, provider: Provider, upstream: Upstream) -> None:
    upstream.behave("401")
    fields = {"name": "second", "key": f"'{NEW}'", "weight": "3"}
    answer = client.post("/providers/house/credentials/add/", fields)
    assert answer.status_code == 422
    assert "refused this key (401)" in answer.content.decode()
    assert NEW not in answer.content.decode()
    assert provider.credentials.count() == 1
    upstream.behave(None)
    assert client.post("/providers/house/credentials/add/", fields).status_code == 302
    assert upstream.requests[-1].headers["authorization"] == f"Bearer {NEW}"
    added = key_of(provider, "second")
    assert (added.reveal(), added.weight, added.last_four) == (NEW, 3, "0002")
    assert client.post("/providers/house/credentials/add/", fields).status_code == 422, "the name is taken"


def test_whoever_knows_better_keeps_it_all_the_same(client: Any, provider: Provider, upstream: Upstream) -> None:
    upstream.behave("503")
    fields = {"name": "second", "key": NEW}
    part = client.post("/providers/house/credentials/add/", fields, headers=HTMX)
    assert part.status_code == 422
    assert 'name="anyway"' in part.content.decode()
    assert client.post("/providers/house/credentials/add/", fields | {"anyway": "on"}).status_code == 302


@pytest.mark.store
def test_a_rotated_key_overlaps_with_the_new_one(client: Any, provider: Provider, upstream: Upstream) -> None:
    old = key_of(provider)
    Credential.objects.filter(pk=old.pk).update(weight=5)
    before = timezone.now()
    answer = client.post(f"/providers/house/credentials/{old.pk}/rotate/", {"key": NEW, "overlap": "24"})
    assert answer.status_code == 302
    new = key_of(provider)
    old.refresh_from_db()
    assert new.pk != old.pk
    assert (new.reveal(), new.weight) == (NEW, 5)
    assert old.name == "default (old)"
    assert old.reveal() == OLD
    assert old.valid_until is not None
    assert timedelta(hours=24) <= old.valid_until - before < timedelta(hours=25)
    entries = compile_snapshot().providers["house"].credentials
    assert [entry.valid_until is None for entry in entries] == [False, True], "both are in use"
    page = client.get("/providers/house/credentials/").content.decode()
    assert "Being replaced" in page
    entry = AuditEntry.objects.get(verb="rotate")
    assert NEW not in str(entry.content)
    assert "0002" in str(entry.content)


def test_rotating_at_once_ends_the_old_key(client: Any, provider: Provider, upstream: Upstream) -> None:
    old = key_of(provider)
    client.post(f"/providers/house/credentials/{old.pk}/rotate/", {"key": NEW, "overlap": "0"})
    assert [entry.id for entry in compile_snapshot().providers["house"].credentials] == [key_of(provider).pk]
    assert "Ended" in client.get("/providers/house/credentials/").content.decode()


def test_a_new_key_that_is_refused_takes_no_place(client: Any, provider: Provider, upstream: Upstream) -> None:
    upstream.behave("401")
    old = key_of(provider)
    answer = client.post(f"/providers/house/credentials/{old.pk}/rotate/", {"key": NEW, "overlap": "24"})
    assert answer.status_code == 422
    old.refresh_from_db()
    assert old.name == "default"
    assert old.valid_until is None
    assert provider.credentials.count() == 1


def test_a_key_is_switched_off_and_back_on(client: Any, provider: Provider) -> None:
    pk = key_of(provider).pk
    before = current_revision()[0]
    page = client.post(f"/providers/house/credentials/{pk}/state/", follow=True).content.decode()
    assert not key_of(provider).enabled
    assert "Undo" in page
    assert current_revision()[0] > before
    assert not compile_snapshot().providers["house"].credentials
    client.post(f"/providers/house/credentials/{pk}/state/", {"enabled": "on"})
    assert key_of(provider).enabled
    assert list(AuditEntry.objects.order_by("id").values_list("verb", flat=True)) == ["deactivate", "activate"]


def test_a_key_is_removed_for_good(client: Any, provider: Provider) -> None:
    client.post(f"/providers/house/credentials/{key_of(provider).pk}/delete/")
    assert not provider.credentials.exists()
    assert AuditEntry.objects.get(verb="delete").content["before"] == {"ends_in": "0001"}


def test_weights_are_whole_numbers(client: Any, provider: Provider) -> None:
    pk = key_of(provider).pk
    client.post(f"/providers/house/credentials/{pk}/weight/", {"weight": "7"})
    assert key_of(provider).weight == 7
    for wrong in ("-1", "1.5", "many", "1001", ""):
        client.post(f"/providers/house/credentials/{pk}/weight/", {"weight": wrong})
    assert key_of(provider).weight == 7


def test_a_kept_key_is_checked_and_what_was_said_is_noted(client: Any, provider: Provider, upstream: Upstream) -> None:
    pk = key_of(provider).pk
    upstream.behave("401")
    page = client.post(f"/providers/house/credentials/check/{pk}/").content.decode()
    assert "refused this key (401)" in page
    assert "Refused" in page
    assert key_of(provider).problem
    upstream.behave(None)
    first = client.post(f"/providers/house/credentials/check/{pk}/", headers=HTMX).content.decode()
    assert "Reached 127.0.0.1" in first
    assert '"line": "key"' in first
    client.post(f"/providers/house/credentials/check/{pk}/", {"line": "key"}, headers=HTMX)
    assert not key_of(provider).problem


def test_moving_demands_the_key_again(client: Any, provider: Provider, upstream: Upstream) -> None:
    there = f"{upstream.url}/other/v1"
    answer = client.post("/providers/house/address/", {"base_url": there})
    assert answer.status_code == 422
    assert "Paste the key here." in answer.content.decode()
    provider.refresh_from_db()
    assert provider.base_url == upstream.base_url
    assert client.post("/providers/house/address/", {"base_url": there, "key": NEW}).status_code == 302
    provider.refresh_from_db()
    assert provider.base_url == there
    assert [key.reveal() for key in provider.credentials.all()] == [NEW]
    sent = [seen.headers.get("authorization") for seen in upstream.requests if seen.path.startswith("/other/")]
    assert sent == [f"Bearer {NEW}"]


def test_no_key_follows_to_another_region(client: Any, db: None) -> None:
    provider = make_provider("Bedrock", kind="bedrock", secret=OLD, options={"region": "eu-west-1"})
    answer = client.post("/providers/bedrock/address/", {"base_url": "", "option_region": "us-east-1"})
    assert answer.status_code == 422
    assert "Paste the key here." in answer.content.decode()
    provider.refresh_from_db()
    assert provider.options == {"region": "eu-west-1"}
    assert provider.credentials.get().reveal() == OLD


# -- the key ring --------------------------------------------------------------------------------


def ring(settings: Any, text: str) -> None:
    settings.RELAYHOUSE_KEY_RING = text
    vault.key_ring.cache_clear()


@pytest.fixture
def rings(settings: Any) -> Iterator[tuple[str, str]]:
    yield f"first:{vault.new_ring_key()}", f"second:{vault.new_ring_key()}"
    vault.key_ring.cache_clear()


@pytest.mark.store
def test_every_secret_is_sealed_anew(db: None, alice: Any, settings: Any, capsys: Any, rings: tuple[str, str]) -> None:
    from allauth.mfa.models import Authenticator

    from console.accounts import TOTP_PLACE

    first, second = rings
    ring(settings, first)
    providers = [make_provider(f"P{number}", kind="groq", secret=f"test-key-number-{number}") for number in range(3)]
    make_model(providers[0], "m")
    totp = Authenticator.objects.create(user=alice, type="totp", data={"secret": vault.seal("OTP", *TOTP_PLACE)})
    ring(settings, f"{second},{first}")
    call_command("rotate_keys")
    assert "4 secrets sealed anew under 'second'; 0 already were." in capsys.readouterr().out
    ring(settings, second)
    assert [p.credentials.get().reveal() for p in providers] == [f"test-key-number-{number}" for number in range(3)]
    totp.refresh_from_db()
    assert vault.unseal(totp.data["secret"], *TOTP_PLACE) == "OTP"
    call_command("rotate_keys")
    assert "0 secrets sealed anew under 'second'; 4 already were." in capsys.readouterr().out


def test_what_cannot_be_opened_is_named_and_the_rest_is_done(
    db: None, settings: Any, capsys: Any, rings: tuple[str, str]
) -> None:
    first, second = rings
    ring(settings, first)
    good, bad = (make_provider(name, kind="groq", secret=f"test-key-of-{name}") for name in ("good", "bad"))
    key = bad.credentials.get()
    Credential.objects.filter(pk=key.pk).update(sealed=good.credentials.get().sealed)  # of another row
    ring(settings, f"{second},{first}")
    with pytest.raises(CommandError, match="could not be opened"):
        call_command("rotate_keys")
    told = capsys.readouterr()
    assert "1 secret sealed anew" in told.out
    assert "bad: default" in told.err
    assert good.credentials.get().reveal() == "test-key-of-good"

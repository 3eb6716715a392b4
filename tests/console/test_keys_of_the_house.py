"""The key ring and the pepper: made for a new house, missed in one that has something to lose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from console import keys
from providers import vault
from routing.keys import create_key, pepper_file, peppers
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def kept_in(settings: Any, tmp_path: Path) -> Any:
    """A state folder of its own, and no keys in the environment."""
    settings.RELAYHOUSE_STATE = tmp_path
    settings.RELAYHOUSE_KEY_RING = settings.RELAYHOUSE_KEY_PEPPER = ""
    forget()
    yield tmp_path
    forget()


def forget() -> None:
    vault.key_ring.cache_clear()
    peppers.cache_clear()


def test_a_new_house_gets_both(kept_in: Path) -> None:
    keys.ensure()
    for file in (vault.ring_file(), pepper_file()):
        assert file.stat().st_mode & 0o777 == 0o600
    assert vault.unseal(vault.seal("test-key-1", "a"), "a") == "test-key-1"
    assert list(peppers()) == [1]


def test_they_are_made_once(kept_in: Path) -> None:
    keys.ensure()
    before = vault.ring_file().read_text(), pepper_file().read_text()
    keys.ensure()
    assert (vault.ring_file().read_text(), pepper_file().read_text()) == before


@pytest.mark.parametrize("lost", [vault.ring_file, pepper_file])
def test_a_house_with_data_does_not_start_without_one(kept_in: Path, lost: Any) -> None:
    keys.ensure()
    create_key("laptop", team=factories.make_team())
    lost().unlink()
    forget()
    with pytest.raises(ImproperlyConfigured, match=str(lost())):
        keys.ensure()
    assert not lost().exists()


def test_a_ring_that_lacks_a_key_in_use_is_refused(kept_in: Path) -> None:
    keys.ensure()
    factories.make_provider("mine", "openai", secret="test-key-12345678")
    vault.ring_file().write_text(f"second:{vault.new_ring_key()}\n")
    forget()
    with pytest.raises(ImproperlyConfigured, match="lacks the key 'first'"):
        keys.ensure()


def test_a_ring_with_another_key_under_the_same_name_is_refused(kept_in: Path) -> None:
    keys.ensure()
    factories.make_provider("mine", "openai", secret="test-key-12345678")
    vault.ring_file().write_text(f"first:{vault.new_ring_key()}\n")
    forget()
    with pytest.raises(ImproperlyConfigured, match="does not open"):
        keys.ensure()


def test_a_key_may_be_added_in_front(kept_in: Path) -> None:
    keys.ensure()
    provider = factories.make_provider("mine", "openai", secret="test-key-12345678")
    vault.ring_file().write_text(f"second:{vault.new_ring_key()},{vault.ring_file().read_text()}")
    forget()
    keys.ensure()
    assert provider.credentials.get().reveal() == "test-key-12345678"
    assert vault.seal("x", "a").startswith("second:")

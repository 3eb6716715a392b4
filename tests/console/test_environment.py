"""A slip in an environment variable is told in a sentence."""

from __future__ import annotations

import pytest

from console.environment import Environment


@pytest.mark.parametrize("value", ["abc", "-1", "1.5", ""])
def test_what_is_no_number_is_told_by_name(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BODY_LIMIT", value)
    with pytest.raises(SystemExit, match=f"BODY_LIMIT must be a whole number, not '{value}'"):
        Environment().int("BODY_LIMIT", default=7)


def test_numbers_and_defaults_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BODY_LIMIT", "4096")
    assert Environment().int("BODY_LIMIT", default=7) == 4096
    monkeypatch.delenv("BODY_LIMIT")
    assert Environment().int("BODY_LIMIT", default=7) == 7

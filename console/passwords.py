"""Passwords: how they are hashed without eating the machine, and what is said about a new one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from django.contrib.auth.hashers import Argon2PasswordHasher
from django.contrib.auth.password_validation import (
    CommonPasswordValidator,
    MinimumLengthValidator,
    get_default_password_validators,
)
from django.core.exceptions import ValidationError
from django.utils.translation import gettext, ngettext

from console.locks import slot

HASHES_AT_ONCE = 2


class BoundedArgon2(Argon2PasswordHasher):
    """Argon2, two at a time on this machine: one hash takes about 100 MB and a tenth of a second of a core."""

    def encode(self, password: str, salt: str) -> str:
        with slot("password", slots=HASHES_AT_ONCE):
            return super().encode(password, salt)

    def verify(self, password: str, encoded: str) -> bool:
        with slot("password", slots=HASHES_AT_ONCE):
            return super().verify(password, encoded)


@dataclass(frozen=True, slots=True)
class Verdict:
    good: bool
    message: str


@cache
def _common() -> CommonPasswordValidator:
    return CommonPasswordValidator()


def verdict(password: str) -> Verdict:
    """What the form says under the field while it is typed. Nothing leaves this machine."""
    length = len(password)
    shortest = next(
        (v.min_length for v in get_default_password_validators() if isinstance(v, MinimumLengthValidator)), 8
    )
    if length < shortest:
        missing = shortest - length
        return Verdict(
            False,
            ngettext("%(n)d more character needed", "%(n)d more characters needed", missing) % {"n": missing},
        )
    try:
        _common().validate(password)
    except ValidationError:
        return Verdict(False, gettext("Too common: it is on the list that attackers try first"))
    return Verdict(
        True,
        ngettext("%(n)d character, not a common password", "%(n)d characters, not a common password", length)
        % {"n": length},
    )

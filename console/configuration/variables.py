"""`${VARIABLE}`: for a key it stays a reference; in addresses and options it is filled in when the file is applied."""

from __future__ import annotations

import re
from typing import Any

from console.configuration.fields import Reader, described
from console.configuration.values import UNSET, KeyFrom, KeyWanted, Surroundings

KEPT = "kept"  # what an exported file says in place of a key that is sealed in the house
VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]{0,119})\}")
# A file must not be able to send the house's own secrets to an address it also names.
OWN_SECRETS = frozenset(
    "SECRET_KEY RELAYHOUSE_KEY_RING RELAYHOUSE_KEY_PEPPER DATABASE_URL REDIS_URL EMAIL_URL OIDC_CLIENT_SECRET "
    "METRICS_TOKEN PGPASSWORD".split()
)


def read_key(read: Reader, name: str) -> KeyWanted | None:
    """None when the file does not speak of a key."""
    value: Any = read.raw(name)
    path = read.at(name)
    if value is UNSET:
        return None
    if value is None:
        return KeyWanted(path, KeyFrom.NOWHERE)
    if not isinstance(value, str):
        read.fault(name, f"is {described(value)}, not a text. Put it in quotes.")
        return None
    value = value.strip()
    if value == KEPT:
        return KeyWanted(path, KeyFrom.KEPT)
    if "${" in value:
        return _variable(read, name, value)
    if not value:
        read.fault(name, "is empty: leave it out to keep the key there is, or write null to take it away.")
    elif not value.isascii() or not value.isprintable() or " " in value:
        read.fault(name, "has a character in it that no key has.")
    elif len(value) > 8000:
        read.fault(name, "is longer than any key.")
    else:
        return KeyWanted(path, KeyFrom.LITERAL, secret=value)
    return None


def _variable(read: Reader, name: str, value: str) -> KeyWanted | None:
    match = VARIABLE.fullmatch(value)
    if match is None:
        read.fault(name, "mixes a variable with other text, or misspells it: write only ${NAME}.")
    elif match[1] in OWN_SECRETS:
        read.fault(name, f"{match[1]} is a secret of this house, not a provider's key.")
    else:
        return KeyWanted(read.at(name), KeyFrom.VARIABLE, variable=match[1])
    return None


def filled(read: Reader, key: str, text: Any, around: Surroundings, missing: list[str]) -> Any:
    """The text with its variables filled in. As it stands when one is not set: that is noted, and is no fault."""
    if not isinstance(text, str) or "${" not in text:
        return text
    if "${" in VARIABLE.sub("", text):
        read.fault(key, "misspells a variable: write ${NAME}.")
        return UNSET
    names = VARIABLE.findall(text)
    for name in names:
        if name in OWN_SECRETS:
            read.fault(key, f"{name} is a secret of this house.")
            return UNSET
    absent = [name for name in names if not around.environment.get(name, "").strip()]
    missing += absent
    return text if absent else VARIABLE.sub(lambda match: around.environment[match[1]].strip(), text)

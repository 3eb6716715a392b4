"""Reading one mapping of a file field by field, collecting every fault. Whatever nobody asked for is unknown."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from console.configuration.reading import Table
from console.configuration.values import UNSET, Fault

SEPARATORS = re.compile(r"[-_ ]")
WHOLE_DIGITS, DECIMALS = 9, 9  # what a price column holds


def fold(word: str) -> str:
    """Without case, hyphens, underscores and spaces: `Azure OpenAI` is `azure-openai`."""
    return SEPARATORS.sub("", word.lower())


def nearest(word: str, known: Iterable[str], most: int = 3) -> str:
    """The known words most like it, as the end of a sentence."""
    by_fold = {fold(each): each for each in known}
    like = get_close_matches(fold(word), by_fold, n=most, cutoff=0.6)
    return f" Nearest: {', '.join(by_fold[each] for each in like)}." if like else ""


def given(**fields: Any) -> dict[str, Any]:
    """Those that the file says something about."""
    return {name: value for name, value in fields.items() if value is not UNSET}


def join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


class Reader:
    """A mapping and its path in the file. Each method reads one key: its value, or UNSET when absent or faulty."""

    def __init__(self, table: Table, path: str, faults: list[Fault], *, folded: bool = False) -> None:
        self.path = path
        self.faults = faults
        self._folded = folded
        self._asked: list[str] = []
        self._values: dict[str, tuple[str, Any]] = {}
        for key, value in table.items():
            if self._name(key) in self._values:
                faults.append(Fault(join(path, key), f"says the same as '{self._values[self._name(key)][0]}'."))
            self._values[self._name(key)] = (key, value)
        for key in table.repeated:
            self.fault(key, "stands here twice.")

    def fault(self, key: str, message: str) -> None:
        self.faults.append(Fault(self.at(key), message))

    def at(self, key: str) -> str:
        """The path of this key, as the file spells it."""
        return join(self.path, self._values.get(self._name(key), (key, None))[0])

    def has(self, *keys: str) -> bool:
        return any(self._name(key) in self._values for key in keys)

    def raw(self, key: str) -> Any:
        self._asked.append(key)
        return self._values.get(self._name(key), ("", UNSET))[1]

    def done(self) -> None:
        """Everything was asked for: the rest is unknown."""
        asked = {self._name(key) for key in self._asked}
        for name, (key, _) in self._values.items():
            if name not in asked:
                self.fault(key, f"unknown key.{nearest(key, self._asked)}")

    def _name(self, key: str) -> str:
        return fold(key) if self._folded else key

    # -- one value ----------------------------------------------------------------

    def text(self, key: str, longest: int, *, required: bool = False, empty: bool = False) -> Any:
        value = self.raw(key)
        if value is UNSET:
            if required:
                self.fault(key, "is missing.")
            return UNSET
        if not isinstance(value, str):
            return self._wrong(key, value, "a text")
        value = value.strip()
        if not value and not empty:
            return self._say(key, "is empty.")
        if len(value) > longest:
            return self._say(key, f"has {len(value)} characters; at most {longest} fit.")
        if any(ord(c) < 32 or ord(c) == 127 for c in value):
            return self._say(key, "has a line break or another control character in it.")
        return value

    def flag(self, key: str) -> Any:
        value = self.raw(key)
        return value if value is UNSET or isinstance(value, bool) else self._wrong(key, value, "true or false")

    def whole(self, key: str, least: int, most: int, *, null: bool = False) -> Any:
        value = self.raw(key)
        if value is UNSET or (null and value is None):
            return value
        if isinstance(value, bool) or not isinstance(value, int):
            return self._wrong(key, value, "a whole number")
        if not least <= value <= most:
            return self._say(key, f"must be from {least:,} to {most:,}, not {value:,}.")
        return value

    def amount(self, key: str, *, required: bool = False, null: bool = False) -> Any:
        """Money per million tokens, exactly as written. A text is taken too, since JSON numbers may lose digits."""
        value = self.raw(key)
        if value is UNSET:
            if required:
                self.fault(key, "is missing.")
            return UNSET
        if null and value is None:
            return None
        if isinstance(value, str) and re.fullmatch(r"[0-9]+(\.[0-9]+)?", value.strip()):
            value = Decimal(value.strip())
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            return self._wrong(key, value, "a number")
        value = Decimal(value)
        if value < 0:
            return self._say(key, "must not be negative.")
        if value >= 10**WHOLE_DIGITS or value != round(value, DECIMALS):
            return self._say(key, f"has at most {WHOLE_DIGITS} digits before the point and {DECIMALS} after it.")
        return value

    def number(self, key: str, least: float, most: float) -> Any:
        value = self.raw(key)
        if value is UNSET:
            return UNSET
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            return self._wrong(key, value, "a number")
        if not least <= value <= most:
            return self._say(key, f"must be from {least:g} to {most:g}.")
        return value if isinstance(value, int) else float(value)

    def choice(self, key: str, known: Iterable[str]) -> Any:
        known = list(known)
        value = self.text(key, 300)
        if value is UNSET or value in known:
            return value
        shown = f" It is one of: {', '.join(known)}." if len(known) <= 12 else nearest(value, known)
        return self._say(key, f"'{value}' is not known here.{shown}")

    def moment(self, key: str, *, null: bool = False) -> Any:
        """A date (its midnight, UTC) or a date with a time; without a zone it is UTC."""
        value = self.raw(key)
        if value is UNSET or (null and value is None):
            return value
        if not isinstance(value, str):
            return self._wrong(key, value, "a date such as 2026-01-31")
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError:
            return self._say(key, f"'{value[:40]}' is no date: write 2026-01-31 or 2026-01-31T09:00:00+01:00.")
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    def words(self, key: str, longest: int, most: int) -> Any:
        """A list of texts, each once."""
        value = self.raw(key)
        if value is UNSET:
            return UNSET
        if not isinstance(value, list):
            return self._wrong(key, value, "a list")
        good = [each for each in value if isinstance(each, str) and 0 < len(each.strip()) <= longest]
        if len(good) != len(value) or len(value) > most:
            return self._say(key, f"is a list of at most {most} words of at most {longest} characters.")
        return list(dict.fromkeys(each.strip() for each in good))

    # -- what is inside -----------------------------------------------------------

    def table(self, key: str) -> Reader | None:
        value = self.raw(key)
        if value is UNSET:
            return None
        if not isinstance(value, Table):
            self._wrong(key, value, "a mapping")
            return None
        return Reader(value, self.at(key), self.faults, folded=self._folded)

    def tables(self, key: str) -> list[Reader]:
        value = self.raw(key)
        if value is UNSET:
            return []
        if not isinstance(value, list):
            self._wrong(key, value, "a list")
            return []
        found = []
        for number, each in enumerate(value):
            path = f"{self.at(key)}[{number}]"
            if isinstance(each, Table):
                found.append(Reader(each, path, self.faults, folded=self._folded))
            else:
                self.faults.append(Fault(path, f"is {described(each)}, not a mapping."))
        return found

    def written(self) -> list[str]:
        return [key for key, _ in self._values.values()]

    def _wrong(self, key: str, value: Any, wanted: str) -> Any:
        hint = " Put it in quotes." if wanted == "a text" and isinstance(value, bool | int | Decimal) else ""
        return self._say(key, f"is {described(value)}, not {wanted}.{hint}")

    def _say(self, key: str, message: str) -> Any:
        self.faults.append(Fault(self.at(key), message))
        return UNSET


def described(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | Decimal():
            return f"the number {str(value)[:20]}"
        case str():
            return "a text"
        case list():
            return "a list"
        case _:
            return "a mapping"

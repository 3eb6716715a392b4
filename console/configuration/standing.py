"""How would the lists about routing stand after this file? In which order, who still uses what is to go, and which
routes nobody would reach."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from console.configuration.values import Declared, House, RowWanted, Thing

Rows = dict[str, dict[str, Any]]
ORDERED = (Thing.USE_CASE, Thing.TIER, Thing.ROUTE)
# Who names a use case or a tier, and in which field.
USERS = {
    Thing.USE_CASE: ((Thing.ROUTE, "use_case"), (Thing.EXPERIMENT, "use_case")),
    Thing.TIER: ((Thing.ROUTE, "tier"), (Thing.EXPERIMENT, "tier"), (Thing.USE_CASE, "tier")),
}


class Standing:
    """The rows as they will be."""

    def __init__(self, declared: Declared, house: House) -> None:
        self._house = house
        self._declared = [row for row in declared.rows if not row.absent]
        self.after: dict[Thing, Rows] = {
            thing: {key: dict(fields) for key, fields in rows.items()} for thing, rows in house.rows.items()
        }
        for row in declared.rows:
            rows = self.after.setdefault(row.thing, {})
            if row.absent:
                rows.pop(row.key, None)
            else:
                rows[row.key] = rows.get(row.key, {}) | dict(row.fields)
        for thing in ORDERED:
            for group in self._groups(thing).values():
                self._put_in_order(thing, group)

    # -- in which order ---------------------------------------------------------------

    def _groups(self, thing: Thing) -> dict[tuple[str, str], Rows]:
        """Those that stand in one order: the routes of a cell, and else all of a list."""
        groups: dict[tuple[str, str], Rows] = {}
        for key, fields in self.after.get(thing, {}).items():
            cell = (fields.get("use_case", ""), fields.get("tier", "")) if thing is Thing.ROUTE else ("", "")
            groups.setdefault(cell, {})[key] = fields
        return groups

    def _put_in_order(self, thing: Thing, group: Rows) -> None:
        """As in the file, where it names all of them. Else those that are there keep their place, and new ones come
        last: a file that speaks of one row must not move it before the others."""
        declared = [row for row in self._declared if row.thing is thing and row.key in group]
        if len(declared) == len(group):
            places = {row.key: number for number, row in enumerate(declared)}
        else:
            last = max((each.get("position", -1) for each in group.values()), default=-1)
            new = [row.key for row in declared if "position" not in group[row.key]]
            places = {key: number for number, key in enumerate(new, last + 1)}
        for row in declared:
            if "position" not in row.fields and row.key in places:
                group[row.key]["position"] = places[row.key]

    def position(self, row: RowWanted) -> dict[str, Any]:
        """What a row is to have as its position, where the file says nothing of it."""
        return {"position": self.after[row.thing][row.key]["position"]} if row.thing in ORDERED else {}

    # -- who uses it, who is reached ------------------------------------------------------

    def keys(self, thing: Thing) -> set[str]:
        return set(self.after.get(thing, {}))

    def user_of(self, thing: Thing, key: str) -> str:
        """Somebody who would be left without it; empty: nobody."""
        for users, name in USERS.get(thing, ()):
            for user, fields in self.after.get(users, {}).items():
                if fields.get(name) == key:
                    return f"the {users} '{user}'"
        return "an API key, as its default" if key in self._house.meant_by_keys.get(thing, ()) else ""

    def unreached(self) -> Iterator[str]:
        """Of the cells that the file speaks of: rows that stand behind one that always applies."""
        declared = {row.key for row in self._declared if row.thing is Thing.ROUTE}
        for group in self._groups(Thing.ROUTE).values():
            if declared.isdisjoint(group):
                continue
            always = ""
            for key in sorted(group, key=lambda key: (group[key]["position"], key)):
                if not group[key].get("enabled", True):
                    continue
                if always:
                    yield f"nobody reaches the route '{key}': '{always}' stands before it and always applies."
                elif not group[key].get("when"):
                    always = key

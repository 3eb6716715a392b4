"""Every secret of the house sealed anew under the first key of the ring, so that an older one can be retired."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from allauth.mfa.models import Authenticator
from django.db import transaction

from console.accounts import TOTP_PLACE
from providers import vault
from providers.models import Credential, configuration_changed
from routing import contents
from routing.models import KeptContent


@dataclass
class Resealed:
    key: str  # of the ring, under which everything is now
    done: int = 0
    already: int = 0
    broken: list[str] = field(default_factory=list)  # what could not be opened

    def text(self, sealed: str, place: tuple[str, ...], name: str) -> str:
        """The text sealed anew, or as it was."""
        if sealed.partition(":")[0] == self.key:
            self.already += 1
            return sealed
        try:
            new = vault.seal(vault.unseal(sealed, *place), *place)
        except (vault.SealBroken, ValueError) as error:
            self.broken.append(f"{name}: {error}")
            return sealed
        self.done += 1
        return new


def reseal() -> Resealed:
    """Row by row, each in a transaction of its own: it may be stopped and started again at any point."""
    told = Resealed(next(iter(vault.key_ring())))
    for pk in Credential.objects.exclude(sealed="").order_by("pk").values_list("pk", flat=True):
        with transaction.atomic():
            key = Credential.objects.select_for_update().select_related("provider").filter(pk=pk).first()
            if key is None or not key.sealed:
                continue
            new = told.text(key.sealed, ("credential", str(key.uid), "secret"), str(key))
            if new != key.sealed:
                Credential.objects.filter(pk=pk).update(sealed=new)
    for pk in Authenticator.objects.order_by("pk").values_list("pk", flat=True):
        with transaction.atomic():
            factor = Authenticator.objects.select_for_update().filter(pk=pk).first()
            if factor is None:
                continue
            name = f"second factor {pk}"
            data = _each_text(factor.data, lambda text, name=name: told.text(text, TOTP_PLACE, name))  # type: ignore[misc]
            if data != factor.data:
                Authenticator.objects.filter(pk=pk).update(data=data)
    if told.done:
        configuration_changed()
    _contents(told)
    return told


def _contents(told: Resealed) -> None:
    """What requests said, where it is kept. Only what is not under the first key yet: there may be many."""
    current = f"{told.key}:"
    others = KeptContent.objects.exclude(asked__startswith=current, answered__startswith=current)
    for pk in others.order_by("pk").values_list("pk", flat=True).iterator():
        row = KeptContent.objects.filter(pk=pk).first()
        if row is not None:
            for side in ("asked", "answered"):
                where = contents.place(row.request_id, side)
                setattr(row, side, told.text(getattr(row, side), where, f"content of {row.request_id}"))
            row.save(update_fields=["asked", "answered"])


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    """Texts that a key of the ring sealed, wherever in the JSON they are. The others are no secrets of ours."""
    if isinstance(value, dict):
        return {name: _each_text(inner, change) for name, inner in value.items()}
    if isinstance(value, list):
        return [_each_text(inner, change) for inner in value]
    if isinstance(value, str) and value.partition(":")[0] in vault.key_ring() and ":" in value:
        return change(value)
    return value

"""Rows with sensible defaults. A test names only what it is about."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.utils import timezone

from billing.ids import attempt_id, new_request_id, started_at
from billing.models import Attempt, LedgerEntry, Membership, Organisation, Price, Request, Team
from console.models import User
from providers.models import Credential, LanguageModel, Provider

PASSWORD = "correct horse battery"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def claim_house(**fields: Any) -> Organisation:
    """A house that somebody owns already, so that pages do not send to the welcome page."""
    house = Organisation.get()
    for name, value in ({"claimed_at": timezone.now()} | fields).items():
        setattr(house, name, value)
    house.save()
    return house


def make_user(name: str, role: str = "member", teams: Iterable[Any] = (), lead: bool = False, **fields: Any) -> User:
    """A person of a claimed house. Without `password=` they cannot sign in by one: hashing is slow."""
    if Organisation.get().claimed_at is None:
        claim_house()
    email = fields.pop("email", f"{name.lower().replace(' ', '.')}@example.org")
    user = User.objects.create_user(email, fields.pop("password", None), name=name, role=role, **fields)
    for team in teams:
        Membership.objects.create(team=team, user=user, lead=lead)
    return user


def make_team(name: str = "Research", **fields: Any) -> Team:
    return Team.objects.create(name=name, **fields)


def make_provider(name: str = "demo", kind: str = "demo", *, secret: str = "", **fields: Any) -> Provider:
    """A new house has `demo` already: asking for it gives that one, with these fields."""
    there = Provider.objects.filter(slug="demo").first() if name == kind == "demo" else None
    provider = there or Provider(name=name, kind=kind)
    for field, value in fields.items():
        setattr(provider, field, value)
    provider.save()
    if secret:
        credential = Credential(provider=provider)
        credential.keep(secret)
        credential.save()
    return provider


def make_model(provider: Provider | None = None, model_id: str = "relay-1", **fields: Any) -> LanguageModel:
    """Of the demo provider, which has its catalogue already, unless another is given."""
    return LanguageModel.objects.update_or_create(
        provider=provider or make_provider(), model_id=model_id, defaults=fields
    )[0]


def make_price(model: LanguageModel, input: str = "2.50", output: str = "10", **fields: Any) -> Price:  # noqa: A002
    fields = {"valid_from": LONG_AGO, "source": "test"} | fields
    return Price.objects.create(
        model=model, input_per_million=Decimal(input), output_per_million=Decimal(output), **fields
    )


def make_request(
    at: datetime | None = None, *, team: Any = None, user: Any = None, key: Any = None, **fields: Any
) -> Any:
    """A request as the loader books one: its id carries its moment."""
    milliseconds = int((at or timezone.now()).timestamp() * 1000)
    request_id = fields.pop("id", "") or new_request_id(milliseconds)
    owners = {name: getattr(row, "pk", row) for name, row in (("team_id", team), ("user_id", user), ("key_id", key))}
    told = {"status": "ok", "purpose": "api", "asked_model": "a:m", "provider": "a", "model": "m", "attempts": 1}
    if fields.get("status", "ok") == "failed":
        told |= {"provider": "", "model": "", "error_code": "upstream_timeout"}
    return Request.objects.create(id=request_id, started_at=started_at(request_id), **(owners | told | fields))


def make_attempt(request: Any, number: int = 1, **fields: Any) -> Any:
    told = {"status": "ok", "billed": "provider", "provider": "a", "model": "m", "duration_ms": 1000}
    told |= {"request_id": request.id, "started_at": request.started_at, "number": number}
    return Attempt.objects.create(id=attempt_id(request.id, number), **(told | fields))


def make_entry(request: Any, number: int = 1, nano: int | None = 5_400_000, **fields: Any) -> Any:
    """What the attempt of this number was charged."""
    told = {"input_tokens": 1200, "output_tokens": 240, "usage_source": "provider", "currency": "USD", "kind": "charge"}
    told |= {"provider": "a", "model": "m", "purpose": request.purpose, "team_id": request.team_id, "sequence": 0}
    told |= {"formula": "(1200 input x 2.5 + 240 output x 10) / 1M = 0.0054 USD"}
    told |= {"request_id": request.id, "started_at": request.started_at, "attempt_id": attempt_id(request.id, number)}
    told |= {"booked_at": request.started_at, "amount_nano": nano} | fields
    return LedgerEntry.objects.create(id=f"{told['attempt_id']}/{told['kind']}/{told['sequence']}", **told)

"""Carrying out a plan: all of it in one transaction, each change in the audit log, the revision raised once."""

from __future__ import annotations

import os
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from billing.models import Membership, Organisation, Price, Team
from console.audit import Named, record_command
from console.configuration.checking import check
from console.configuration.planning import Action, Plan, Step, plan, shown_key
from console.configuration.reading import read
from console.configuration.state import ROWS, read_house
from console.configuration.values import Declared, KeyHeld, Surroundings, Thing
from console.models import User
from providers.addresses import parse_networks
from providers.models import Configuration, Credential, LanguageModel, ModelAlias, Provider, configuration_changed
from routing.models import Tier, UseCase

COMMAND = "apply"


def surroundings() -> Surroundings:
    return Surroundings(
        languages=tuple(code for code, _ in settings.LANGUAGES),
        networks=parse_networks(settings.PRIVATE_NETWORKS),
        environment=os.environ,
    )


def read_file(content: bytes, name: str = "") -> Declared:
    """What a file declares, or FileRefused."""
    return check(read(content, name), surroundings())


def planned(declared: Declared) -> Plan:
    return plan(declared, read_house(), now=timezone.now(), environment=os.environ)


def apply(declared: Declared) -> Plan:
    """Plan once more with the configuration held, and carry that out: what was done is what is returned."""
    with transaction.atomic():
        revision = _hold_configuration()
        steps = planned(declared)
        for step in steps.changes:
            _ACTS[step.thing](step)
        # Each saved row has raised it again; together they are one change.
        Configuration.objects.filter(id=1).update(revision=revision)
    return steps


def _hold_configuration() -> int:
    """Raises the revision, which locks it: until this transaction ends nobody else's change can be counted."""
    configuration_changed()
    return Configuration.objects.values_list("revision", flat=True).get(id=1)


# -- one step a function ---------------------------------------------------------


def _organisation(step: Step) -> None:
    house = Organisation.objects.filter(id=1).first()
    if house is None:
        house = Organisation(id=1)
        house.save(force_insert=True)
    _write(house, step)


def _provider(step: Step) -> None:
    slug = step.where[0]
    row = Provider(slug=slug) if step.action is Action.CREATE else Provider.objects.get(slug=slug)
    _write(row, step)


def _key(step: Step) -> None:
    provider = Provider.objects.get(slug=step.where[0])
    row = provider.credentials.filter(name="default").first() or provider.credentials.first()
    before = shown_key(KeyHeld(row.variable, row.last_four)) if row and (row.variable or row.sealed) else None
    if step.action is Action.REMOVE:
        assert row is not None
        named = Named("credential", str(row.pk), str(row))
        row.delete()
        record_command(COMMAND, "delete", named, before={"shown": before})
        return
    row = row or Credential(provider=provider)
    if "variable" in step.values:
        row.variable, row.sealed, row.last_four = step.values["variable"], "", ""
    else:
        row.keep(step.values["secret"])
    row.enabled = True
    if row.pk:
        row.rotated_at = timezone.now()
    row.save()
    after = {"shown": shown_key(KeyHeld(row.variable, row.last_four))}
    record_command(COMMAND, _verb(step), row, before={"shown": before} if before else None, after=after)


def _model(step: Step) -> None:
    slug, model_id = step.where
    if step.action is Action.CREATE:
        row = LanguageModel(provider=Provider.objects.get(slug=slug), model_id=model_id)
    else:
        row = LanguageModel.objects.select_related("provider").get(provider__slug=slug, model_id=model_id)
    values = dict(step.values)
    if "active" in values and (step.action is Action.CHANGE or not values["active"]):
        # Off and listed is what a person switched off; off and unlisted comes back with the provider's list.
        values["listed"] = not values["active"]
    _write(row, step, values)


def _price(step: Step) -> None:
    values = dict(step.values)
    number = values.pop("pk", None)
    if step.action is Action.CREATE:
        slug, model_id, _ = step.where
        row = Price(model=LanguageModel.objects.get(provider__slug=slug, model_id=model_id))
    else:
        row = Price.objects.get(pk=number)
    _write(row, step, values)


def _alias(step: Step) -> None:
    slug, _, model_id = step.values["model"].partition(":")
    model = LanguageModel.objects.select_related("provider").get(provider__slug=slug, model_id=model_id)
    row = ModelAlias.objects.filter(name=step.where[0]).select_related("model__provider").first()
    before = {"model": str(row.model)} if row else None
    row = row or ModelAlias(name=step.where[0])
    row.model = model
    row.save()
    record_command(
        COMMAND, _verb(step), Named("alias", str(row.pk), row.name), before=before, after={"model": str(model)}
    )


def _team(step: Step) -> None:
    name = step.where[0]
    row = Team(name=name) if step.action is Action.CREATE else Team.objects.get(name=name)
    _write(row, step)


def _member(step: Step) -> None:
    name, email = step.where
    team = Team.objects.get(name=name)
    user = User.objects.get(email__iexact=email)
    before = None
    if step.action is Action.CREATE:
        row = Membership.objects.create(team=team, user=user, lead=step.values["lead"])
    else:
        row = Membership.objects.select_related("user", "team").get(team=team, user=user)
        before = {"lead": row.lead}
        row.lead = step.values["lead"]
        row.save(update_fields=["lead"])
    named = Named("membership", str(row.pk), f"{user}, {team}")
    verb = "add" if before is None else "change"
    record_command(COMMAND, verb, named, before=before, after={"lead": row.lead})


def _listed(step: Step) -> None:
    """A use case, a tier, a route, a flag or an experiment."""
    model, key, _ = ROWS[step.thing]
    name = step.where[0]
    if step.action is Action.REMOVE:
        row = model._default_manager.get(**{key: name})
        named, before = Named(step.thing, str(row.pk), str(row)), {each.field: each.before for each in step.differences}
        row.delete()
        record_command(COMMAND, "delete", named, before=before)
        return
    row = model(**{key: name}) if step.action is Action.CREATE else model._default_manager.get(**{key: name})
    values = dict(step.values)
    if step.thing is Thing.ROUTE:
        if "use_case" in values:
            values["use_case"] = UseCase.objects.get(slug=values["use_case"])
        if "tier" in values:
            values["tier"] = Tier.objects.get(slug=values["tier"]) if values["tier"] else None
    if step.thing is Thing.FLAG:
        values["changed_at"] = timezone.now()
    _write(row, step, values)


_ACTS = {
    Thing.ORGANISATION: _organisation,
    Thing.PROVIDER: _provider,
    Thing.KEY: _key,
    Thing.MODEL: _model,
    Thing.PRICE: _price,
    Thing.ALIAS: _alias,
    Thing.TEAM: _team,
    Thing.MEMBER: _member,
    **dict.fromkeys(ROWS, _listed),
}


def _write(row: Any, step: Step, values: dict[str, Any] | None = None) -> None:
    """The step's values into the row, and what changed into the audit log."""
    values = dict(step.values) if values is None else values
    making = step.action is Action.CREATE
    before = None if making else {name: getattr(row, name) for name in values}
    for name, value in values.items():
        setattr(row, name, value)
    # Only what the file says: somebody may be saving the rest of this row in the console.
    row.save(update_fields=None if making else list(values))
    record_command(COMMAND, _verb(step), row, before=before, after=values)


def _verb(step: Step) -> str:
    return "create" if step.action is Action.CREATE else "change"

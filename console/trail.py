"""What allauth and the command line do, written into the audit log. Connected once, by console.apps."""

from __future__ import annotations

from typing import Any

from allauth.account.signals import user_logged_in
from allauth.mfa.signals import authentication_failed, authenticator_added, authenticator_removed, authenticator_reset
from django.contrib.auth.signals import user_logged_out

from console.accounts import record_failure
from console.audit import Named, record
from console.models import User


def connect() -> None:
    user_logged_in.connect(_signed_in, dispatch_uid="trail.signed_in")
    user_logged_out.connect(_signed_out, dispatch_uid="trail.signed_out")
    authenticator_added.connect(_second_factor("add"), weak=False, dispatch_uid="trail.added")
    authenticator_removed.connect(_second_factor("remove"), weak=False, dispatch_uid="trail.removed")
    authenticator_reset.connect(_second_factor("change"), weak=False, dispatch_uid="trail.reset")
    authentication_failed.connect(_code_failed, dispatch_uid="trail.code_failed")


def _signed_in(request: Any, user: User, **kwargs: Any) -> None:
    record(user, "sign_in", user, request=request)


def _signed_out(request: Any, user: User | None, **kwargs: Any) -> None:
    if isinstance(user, User):
        record(user, "sign_out", user, request=request)


def _second_factor(verb: str) -> Any:
    def receive(request: Any, user: User, authenticator: Any, **kwargs: Any) -> None:
        named = Named("authenticator", str(authenticator.pk or ""), str(authenticator.get_type_display()))
        record(user, verb, named, request=request)

    return receive


def _code_failed(request: Any, user: User, **kwargs: Any) -> None:
    record_failure(request, user.email)

"""A person's own page: sections that save on their own, two-factor, and where they are signed in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.reauthentication import reauthenticate_by_password
from allauth.account.signals import password_changed
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.forms import BaseForm
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, override
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST, require_safe

from console import people
from console.access import needs
from console.agents import browser_of
from console.audit import Named, fields_of, record
from console.forms.profile import DisplayForm, KeyboardForm, NameForm, PasswordForm
from console.house import organisation_of
from console.models import User
from console.views.answers import go, page, person_of, refused_form

SECTIONS: dict[str, Callable[..., BaseForm]] = {"name": NameForm, "display": DisplayForm, "keyboard": KeyboardForm}


@needs("profile.change")
@require_safe
def index(request: HttpRequest) -> HttpResponse:
    return page(request, "profile/profile.html", _profile(request))


@needs("profile.change")
@require_POST
def save(request: HttpRequest, section: str) -> HttpResponse:
    if section not in SECTIONS:
        raise Http404
    person = User.objects.get(pk=person_of(request).pk)  # apart from the one the shell shows
    names = SECTIONS[section]._meta.fields  # type: ignore[attr-defined]
    before = fields_of(person, *names)
    form = SECTIONS[section](request.POST, instance=person)
    if not form.is_valid():
        return refused_form(request, "profile/profile.html", _profile(request, **{section: form}), part=section)
    form.save()  # type: ignore[attr-defined]
    after = fields_of(person, *names)
    if before != after:
        record(person, "change", person, before=before, after=after, request=request)
    with override(person.language or organisation_of(request).language):
        messages.success(request, _("Your profile is saved."))
    return _with_cookies(go(request, "profile"), person)


@needs("profile.change")
@sensitive_post_parameters("current", "new")
@require_POST
def change_password(request: HttpRequest) -> HttpResponse:
    person = person_of(request)
    adapter = get_adapter(request)
    form = PasswordForm(request.POST, person=person, adapter=adapter)
    if not form.is_valid():
        return refused_form(request, "profile/profile.html", _profile(request, password=form), part="password")
    adapter.set_password(person, form.cleaned_data["new"])  # writes the audit entry
    update_session_auth_hash(request, person)
    reauthenticate_by_password(request)
    password_changed.send(sender=User, request=request, user=person)
    people.end_sessions(person, but=request.session.session_key)
    messages.success(request, _("Your password is changed. Other browsers are signed out."))
    return go(request, "profile")


@needs("profile.change")
@require_POST
def end_session(request: HttpRequest, pk: int) -> HttpResponse:
    person = person_of(request)
    session = get_object_or_404(UserSession, pk=pk, user=person)
    if session.session_key != request.session.session_key:
        record(person, "end", Named("session", str(pk), browser_of(session.user_agent)), request=request)
        session.end()
        messages.success(request, _("That session is ended."))
    return go(request, "profile")


@needs("profile.change")
@require_POST
def end_others(request: HttpRequest) -> HttpResponse:
    person = person_of(request)
    ended = people.end_sessions(person, but=request.session.session_key)
    if ended:
        record(person, "end", Named("session", str(person.pk), str(person)), after={"sessions": ended}, request=request)
    words = ngettext("%(n)d other session is ended.", "%(n)d other sessions are ended.", ended) % {"n": ended}
    messages.success(request, words)
    return go(request, "profile")


def _profile(request: HttpRequest, **typed: BaseForm) -> dict[str, Any]:
    """Every section, with the form that was refused in place of its own."""
    person = person_of(request)
    sessions = UserSession.objects.filter(user=person).order_by("-last_seen_at")[:50]
    factors = set(Authenticator.objects.filter(user=person).values_list("type", flat=True))
    return {
        "person": person,
        "forms": {
            "name": NameForm(instance=person),
            "display": DisplayForm(instance=person),
            "keyboard": KeyboardForm(instance=person),
            "password": PasswordForm(person=person),
        }
        | typed,
        "sessions": [
            {"row": row, "browser": browser_of(row.user_agent), "here": row.session_key == request.session.session_key}
            for row in sessions
        ],
        "two_factor": Authenticator.Type.TOTP in factors,
        "recovery_codes": Authenticator.Type.RECOVERY_CODES in factors,
    }


def _with_cookies(response: HttpResponse, person: User) -> HttpResponse:
    """The sign-in page of this browser speaks the person's language too."""
    if person.language:
        response.set_cookie(
            settings.LANGUAGE_COOKIE_NAME,
            person.language,
            max_age=365 * 24 * 3600,
            secure=settings.SESSION_COOKIE_SECURE,
            samesite="Lax",
        )
    return response

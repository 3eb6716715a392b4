"""Who is here, what each may do, and ending that."""

from __future__ import annotations

from typing import Any

from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from console import people
from console.access import can, needs, require
from console.audit import Named, record
from console.forms.people import InvitationForm, RoleForm
from console.invitations import pending_invitations
from console.models import User
from console.paging import page_of
from console.people import NotPossible
from console.views.access import reasons_for
from console.views.answers import go, kept_from_caches, page, person_of, query_of, refused_form
from console.views.undo import with_undo

STATES = ("active", "inactive", "invited")


@needs("people.see")
@require_safe
def index(request: HttpRequest) -> HttpResponse:
    actor = person_of(request)
    state = request.GET.get("state", "active")
    state = state if state in STATES else "active"
    typed = request.GET.get("q", "").strip()[:100]
    cursor = request.GET.get("after", "")
    context: dict[str, Any] = {
        "state": state,
        "q": typed,
        "counts": people.counts(),
        "may_invite": can(actor, "people.invite"),
        "now": timezone.now(),
        "page_query": query_of(request, "state", "q"),
    }
    if state == "invited":
        found = pending_invitations().filter(email__icontains=typed) if typed else pending_invitations()
        rows = found.select_related("invited_by").prefetch_related("teams")
        context["invitations"] = page_of(rows, ("-created_at", "-id"), cursor)
    else:
        listed = people.listed_people().filter(is_active=state == "active")
        if typed:
            listed = listed.filter(Q(name__icontains=typed) | Q(email__icontains=typed))
        context["people"] = page_of(listed, ("name", "id"), cursor)
    if context["may_invite"]:
        context["form"] = InvitationForm(actor=actor, initial={"role": "member"})
    else:
        context["needed"] = reasons_for(request, "people.invite")["needed"]
    return page(request, "people/list.html", context, part="rows")


@needs("people.see")
@require_safe
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    person = get_object_or_404(people.listed_people(), pk=pk)
    return page(request, "people/detail.html", _detail(request, person))


@needs("people.change")
@require_POST
def change_role(request: HttpRequest, pk: int) -> HttpResponse:
    actor, person = person_of(request), _theirs(request, pk)
    form = RoleForm(request.POST, actor=actor)
    if form.is_valid():
        before = person.role
        try:
            people.change_role(actor, person, form.cleaned_data["role"])
        except NotPossible as reason:
            form.add_error("role", str(reason))
        else:
            return _role_changed(request, person, before, form.cleaned_data["role"])
    listed = get_object_or_404(people.listed_people(), pk=pk)
    return refused_form(request, "people/detail.html", _detail(request, listed, form), part="role")


@needs("people.change")
@require_POST
def deactivate(request: HttpRequest, pk: int) -> HttpResponse:
    actor, person = person_of(request), _theirs(request, pk)
    try:
        ended = people.deactivate(actor, person, timezone.now())
    except NotPossible as reason:
        messages.error(request, str(reason))
        return go(request, "person-detail", pk)
    record(actor, "deactivate", person, request=request)
    for key in ended:
        record(actor, "revoke", key, note=f"{person} was deactivated", request=request)
    words = _("%(name)s is deactivated and signed out everywhere.") % {"name": person}
    with_undo(request, words, reverse("person-activate", args=[pk]))
    return go(request, "person-detail", pk)


@needs("people.change")
@require_POST
def activate(request: HttpRequest, pk: int) -> HttpResponse:
    actor, person = person_of(request), _theirs(request, pk)
    people.reactivate(actor, person)
    record(actor, "activate", person, request=request)
    words = _("%(name)s can sign in again. Keys that were ended stay ended.") % {"name": person}
    messages.success(request, words)
    return go(request, "person-detail", pk)


@needs("people.change")
@require_POST
def end_sessions(request: HttpRequest, pk: int) -> HttpResponse:
    actor, person = person_of(request), _theirs(request, pk)
    ended = people.end_sessions(person, but=request.session.session_key if actor.pk == pk else None)
    record(actor, "end", Named("session", str(pk), str(person)), after={"sessions": ended}, request=request)
    words = ngettext("%(n)d session is ended.", "%(n)d sessions are ended.", ended) % {"n": ended}
    messages.success(request, words)
    return go(request, "person-detail", pk)


@needs("people.change")
@require_POST
def reset_link(request: HttpRequest, pk: int) -> HttpResponse:
    """A link with which this person sets a new password; shown once, to be handed over."""
    actor, person = person_of(request), _theirs(request, pk)
    if not person.is_active:
        messages.error(request, _("Activate %(name)s first.") % {"name": person})
        return go(request, "person-detail", pk)
    link = people.reset_link(person, request)
    record(actor, "reset_link", person, request=request)
    context = {"person": person, "link": link, "hours": people.reset_hours()}
    return kept_from_caches(page(request, "people/reset_link.html", context, part="link"))


def _theirs(request: HttpRequest, pk: int) -> User:
    person = get_object_or_404(User, pk=pk)
    require(request, "people.change", person)
    return person


def _role_changed(request: HttpRequest, person: User, before: str, after: str) -> HttpResponse:
    if before != after:
        record(person_of(request), "change", person, before={"role": before}, after={"role": after}, request=request)
        person.role = after
        words = _("%(name)s is now: %(role)s.") % {"name": person, "role": person.get_role_display()}
        messages.success(request, words)
    return go(request, "person-detail", person.pk)


def _detail(request: HttpRequest, person: User, form: RoleForm | None = None) -> dict[str, Any]:
    actor = person_of(request)
    may_change = can(actor, "people.change", person)
    return {
        "person": person,
        "may_change": may_change,
        "form": form or (RoleForm(actor=actor, initial={"role": person.role}) if may_change else None),
        "effect": people.effect_of_leaving(person, timezone.now()) if may_change and person.is_active else None,
        "sessions": UserSession.objects.filter(user=person).count(),
        "is_self": actor.pk == person.pk,
        "needed": "" if may_change else _why_not(request, actor),
        "open": request.GET.get("open", ""),
    }


def _why_not(request: HttpRequest, actor: User) -> str:
    if can(actor, "people.change"):
        return _("Nobody changes a person whose role is above their own.")
    return str(reasons_for(request, "people.change")["needed"])

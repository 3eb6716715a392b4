"""Asking colleagues in, and the page on which they accept."""

from __future__ import annotations

from allauth.account.utils import perform_login
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from console import invitations
from console.access import NotAllowed, can_give, needs, public
from console.audit import record
from console.forms.people import InvitationForm
from console.forms.welcome import JoinForm
from console.invitations import Taken
from console.mail import mail_configured
from console.models import Invitation, User
from console.views.answers import go, kept_from_caches, page, person_of, refused_form


@needs("people.invite")
@require_http_methods(["GET", "HEAD", "POST"])
def create(request: HttpRequest) -> HttpResponse:
    actor = person_of(request)
    form = InvitationForm(request.POST or None, actor=actor, initial={"role": "member"})
    if request.method != "POST":
        return page(request, "invitations/form.html", {"form": form}, part="form")
    if not form.is_valid():
        return refused_form(request, "invitations/form.html", {"form": form}, part="form")
    asked = form.cleaned_data
    try:
        invitation, token = invitations.invite(asked["email"], asked["role"], asked["teams"], actor, timezone.now())
    except Taken:
        form.add_error("email", _("There is an account with this address already."))
        return refused_form(request, "invitations/form.html", {"form": form}, part="form")
    teams = [team.name for team in asked["teams"]]
    record(actor, "invite", invitation, after={"role": invitation.role, "teams": teams}, request=request)
    return _link_once(request, invitation, token)


@needs("people.invite")
@require_POST
def resend(request: HttpRequest, pk: int) -> HttpResponse:
    invitation = _pending(request, pk)
    token = invitations.renew(invitation, timezone.now())
    record(person_of(request), "resend", invitation, request=request)
    return _link_once(request, invitation, token)


@needs("people.invite")
@require_POST
def withdraw(request: HttpRequest, pk: int) -> HttpResponse:
    invitation = _pending(request, pk)
    if invitations.withdraw(invitation, timezone.now()):
        record(person_of(request), "withdraw", invitation, request=request)
        messages.success(request, _("The invitation of %(email)s is withdrawn.") % {"email": invitation.email})
    return go(request, reverse("person-list") + "?state=invited")


@public
@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def accept(request: HttpRequest, token: str) -> HttpResponse:
    now = timezone.now()
    invitation = invitations.find(token, now)
    if invitation is None:
        return render(request, "invitations/ended.html", status=404)
    if isinstance(request.user, User):
        return render(request, "invitations/signed_in.html", {"invitation": invitation}, status=409)
    form = JoinForm(request.POST or None, email=invitation.email)
    context = {"form": form, "invitation": invitation, "teams": invitation.teams.filter(archived_at=None)}
    if request.method != "POST":
        return page(request, "invitations/accept.html", context)
    if not form.is_valid():
        return refused_form(request, "invitations/accept.html", context)
    try:
        person = invitations.accept(invitation, form.cleaned_data["name"], form.cleaned_data["password"], now)
    except Taken:
        return render(request, "invitations/ended.html", status=404)
    record(person, "accept", invitation, after={"role": person.role}, request=request)
    response: HttpResponse = perform_login(request, person, redirect_url=reverse("overview"))
    return response


def _pending(request: HttpRequest, pk: int) -> Invitation:
    """One that this person could have made: nobody renews a link to a role above their own."""
    invitation = get_object_or_404(invitations.pending_invitations(), pk=pk)
    if not can_give(person_of(request), invitation.role):
        raise NotAllowed("people.invite")
    return invitation


def _link_once(request: HttpRequest, invitation: Invitation, token: str) -> HttpResponse:
    """The link is in this answer and nowhere else."""
    link = invitations.address(token, request)
    context = {
        "invitation": invitation,
        "link": link,
        "mailed": invitations.mail(invitation, link),
        "mail_configured": mail_configured(),
        "days": invitations.LIFETIME.days,
    }
    return kept_from_caches(page(request, "invitations/link.html", context, part="link"))

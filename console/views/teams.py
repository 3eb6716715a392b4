"""Teams, who is in them and who leads them."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db import IntegrityError, transaction
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billing.models import Membership, Team
from console import people
from console.access import can, needs, require, visible_teams
from console.audit import Named, fields_of, record
from console.forms.teams import MemberForm, TeamForm
from console.models import User
from console.paging import page_of
from console.views.access import reasons_for
from console.views.answers import go, page, person_of, query_of, refused_form
from console.views.undo import with_undo
from routing.models import ApiKey

FIELDS = ("name", "description", "default_model", "members_make_keys", "data_policy", "keeps_content")
COLLEAGUES = 200  # suggested while an address is typed; everybody else can be typed in full
KEYS = 50


@needs("teams.see")
@require_safe
def index(request: HttpRequest) -> HttpResponse:
    actor = person_of(request)
    archived = request.GET.get("state") == "archived"
    typed = request.GET.get("q", "").strip()[:100]
    visible = visible_teams(actor)
    teams = people.listed_teams(visible, timezone.now()).filter(archived_at__isnull=not archived)
    if typed:
        teams = teams.filter(name__icontains=typed)
    context: dict[str, Any] = {
        "teams": page_of(teams, ("name", "id"), request.GET.get("after", "")),
        "counts": people.team_counts(visible),
        "archived": archived,
        "q": typed,
        "may_create": can(actor, "teams.create"),
        "may_see_people": can(actor, "people.see"),
        "sees_all": can(actor, "teams.see_all"),
        "page_query": query_of(request, "state", "q"),
    }
    if context["may_create"]:
        context["form"] = TeamForm()
    elif context["sees_all"]:
        context["needed"] = reasons_for(request, "teams.create")["needed"]
    return page(request, "teams/list.html", context, part="rows")


@needs("teams.create")
@require_http_methods(["GET", "HEAD", "POST"])
def create(request: HttpRequest) -> HttpResponse:
    form = TeamForm(request.POST or None)
    if request.method != "POST":
        return page(request, "teams/form.html", {"form": form}, part="form")
    if not form.is_valid():
        return refused_form(request, "teams/form.html", {"form": form}, part="form")
    team = form.save()
    record(person_of(request), "create", team, after=fields_of(team, *FIELDS), request=request)
    messages.success(request, _("%(team)s exists. Add its members.") % {"team": team})
    return go(request, "team-detail", team.slug)


@needs("teams.see")
@require_safe
def detail(request: HttpRequest, slug: str) -> HttpResponse:
    return page(request, "teams/detail.html", _detail(request, _visible(request, slug)))


@needs("teams.change")
@require_POST
def update(request: HttpRequest, slug: str) -> HttpResponse:
    team = _changeable(request, slug)
    before = fields_of(team, *FIELDS)
    form = TeamForm(request.POST, instance=team)
    if not form.is_valid():
        shown = _visible(request, slug)  # the form has already written what was typed into `team`
        return refused_form(request, "teams/detail.html", _detail(request, shown, form=form), part="settings")
    form.save()
    record(person_of(request), "change", team, before=before, after=fields_of(team, *FIELDS), request=request)
    messages.success(request, _("%(team)s is saved.") % {"team": team})
    return go(request, "team-detail", team.slug)


@needs("teams.change")
@require_POST
def add_member(request: HttpRequest, slug: str) -> HttpResponse:
    team = _changeable(request, slug)
    form = MemberForm(request.POST, team=team)
    if form.is_valid():
        try:
            with transaction.atomic():
                member = Membership.objects.create(team=team, user=form.person, lead=form.cleaned_data["lead"])
        except IntegrityError:
            form.add_error("email", _("%(name)s is in this team already.") % {"name": form.person})
        else:
            _record_member(request, "add", member, after={"lead": member.lead})
            messages.success(request, _("%(name)s is in %(team)s.") % {"name": member.user, "team": team})
            return go(request, "team-detail", slug)
    return refused_form(request, "teams/detail.html", _detail(request, team, member_form=form), part="add")


@needs("teams.change")
@require_POST
def set_lead(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    team = _changeable(request, slug)
    member = get_object_or_404(team.memberships.select_related("user"), pk=pk)
    lead = request.POST.get("lead") == "on"
    if member.lead != lead:
        Membership.objects.filter(pk=member.pk).update(lead=lead)
        _record_member(request, "change", member, before={"lead": member.lead}, after={"lead": lead})
        words = _("%(name)s leads %(team)s.") if lead else _("%(name)s no longer leads %(team)s.")
        messages.success(request, words % {"name": member.user, "team": team})
    return _back(request, team)


@needs("teams.change")
@require_POST
def remove_member(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    team = _changeable(request, slug)
    member = get_object_or_404(team.memberships.select_related("user"), pk=pk)
    _record_member(request, "remove", member, before={"lead": member.lead})
    member.delete()
    words = _("%(name)s is no longer in %(team)s.") % {"name": member.user, "team": team}
    back = {"email": member.user.email} | ({"lead": "on"} if member.lead else {})
    if member.user_id != person_of(request).pk or can(request.user, "teams.see_all"):
        with_undo(request, words, reverse("member-add", args=[slug]), back)
    else:
        messages.success(request, words)
    return _back(request, team)


@needs("teams.archive")
@require_POST
def archive(request: HttpRequest, slug: str) -> HttpResponse:
    actor, team = person_of(request), get_object_or_404(Team, slug=slug, archived_at=None)
    ended = people.archive(team, timezone.now())
    record(actor, "archive", team, after={"keys": len(ended)}, request=request)
    for key in ended:
        record(actor, "revoke", key, note=f"{team} was archived", request=request)
    words = _("%(team)s is archived.") % {"team": team}
    with_undo(request, words, reverse("team-restore", args=[slug]))
    return go(request, "team-list")


@needs("teams.archive")
@require_POST
def restore(request: HttpRequest, slug: str) -> HttpResponse:
    team = get_object_or_404(Team.objects.exclude(archived_at=None), slug=slug)
    people.restore(team)
    record(person_of(request), "restore", team, request=request)
    messages.success(request, _("%(team)s is back. Keys that were ended stay ended.") % {"team": team})
    return go(request, "team-detail", slug)


def _visible(request: HttpRequest, slug: str) -> Team:
    """A team that somebody may not open does not exist for them."""
    team: Team = get_object_or_404(visible_teams(person_of(request)), slug=slug)
    return team


def _changeable(request: HttpRequest, slug: str) -> Team:
    team: Team = get_object_or_404(visible_teams(person_of(request)).filter(archived_at=None), slug=slug)
    require(request, "teams.change", team)
    return team


def _back(request: HttpRequest, team: Team) -> HttpResponse:
    """Whoever just gave up the lead may not see the team any more."""
    actor = User.objects.get(pk=person_of(request).pk)
    if visible_teams(actor).filter(pk=team.pk).exists():
        return go(request, "team-detail", team.slug)
    return go(request, "team-list" if can(actor, "teams.see") else "overview")


def _record_member(request: HttpRequest, verb: str, member: Membership, **changes: Any) -> None:
    named = Named("membership", str(member.pk or ""), f"{member.user}, {member.team}")
    record(person_of(request), verb, named, request=request, **changes)


def _detail(
    request: HttpRequest, team: Team, *, form: TeamForm | None = None, member_form: MemberForm | None = None
) -> dict[str, Any]:
    actor, now = person_of(request), timezone.now()
    may_change = can(actor, "teams.change", team) and team.archived_at is None
    may_archive = can(actor, "teams.archive")
    context: dict[str, Any] = {
        "team": team,
        "members": page_of(
            team.memberships.select_related("user"), ("user__name", "id"), request.GET.get("after", ""), size=100
        ),
        "may_change": may_change,
        "may_archive": may_archive,
        "may_see_people": can(actor, "people.see"),
        "open": request.GET.get("open", "") or ("add" if member_form else ""),
        "now": now,
    }
    if not may_change:
        context["needed"] = reasons_for(request, "teams.change")["needed"]
    if can(actor, "keys.see", team):
        keys = list(
            ApiKey.objects.filter(team=team).order_by(F("revoked_at").asc(nulls_first=True), "-created_at")[: KEYS + 1]
        )
        context |= {
            "keys": keys[:KEYS],
            "more_keys": len(keys) > KEYS,
            "may_make_keys": can(actor, "keys.change", team),
        }
    if may_change:
        context |= {"form": form or TeamForm(instance=team), "member_form": member_form or MemberForm(team=team)}
        if context["may_see_people"]:
            outside = User.objects.filter(is_active=True).exclude(memberships__team=team)
            context["colleagues"] = outside.values_list("email", "name")[:COLLEAGUES]
    if may_archive and team.archived_at is None:
        context["effect"] = people.effect_of_archiving(team, now)
    return context

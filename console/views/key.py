"""One API key: what it may, how much it is used, who changed it, and another secret for it or its end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from console import issuing, keylist, keyuse
from console.access import NotAllowed, needs
from console.forms.keys import KeyForm, RotateForm
from console.holders import Person, rights_of
from console.issuing import Actor
from console.keynames import LONGEST
from console.models import AuditEntry
from console.overview import told
from console.picking import chosen, current_snapshot
from console.views.access import reasons_for
from console.views.answers import from_htmx, go, kept_from_caches, page, person_of
from console.views.keys import shown_once
from routing.engine import AUTO
from routing.models import ApiKey, Tier, UseCase
from routing.rotation import Ended

DETAIL = "keys/detail.html"
HOUR = timedelta(hours=1)
WAIT = timedelta(minutes=10)  # for the first request
ENTRIES = 20


@needs("keys.see")
@require_safe
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    return page(request, DETAIL, _detail(request, _visible(request, pk)))


@needs("keys.see")
@require_http_methods(["GET", "HEAD", "POST"])
def update(request: HttpRequest, pk: int) -> HttpResponse:
    key = _changeable(request, pk)
    form = KeyForm(
        request.POST if request.method == "POST" else None,
        keeper=Person(person_of(request)),
        snapshot=current_snapshot(),
        key=key,
    )
    if request.method != "POST" or not form.is_valid():
        status = 422 if form.is_bound else 200
        if from_htmx(request):
            template = "keys/_fields.html" if form.is_bound else "keys/_form.html"
            return render(request, template, {"form": form}, status=status)
        return page(request, DETAIL, _detail(request, key) | {"form": form}, status=status)
    if issuing.change(_actor(request), key, form.values, form.spending):
        messages.success(request, _("%(name)s is saved. It holds everywhere within two seconds.") % {"name": key.name})
    return go(request, "key-detail", pk)


@needs("keys.see")
@sensitive_variables("secret")
@require_http_methods(["GET", "HEAD", "POST"])
def rotate(request: HttpRequest, pk: int) -> HttpResponse:
    key = _changeable(request, pk)
    form = RotateForm(request.POST if request.method == "POST" else None)
    if request.method != "POST" or not form.is_valid():
        return _dialog(request, key, "keys/_rotate.html", {"rotate": form}, 422 if form.is_bound else 200)
    try:
        secret = issuing.renew(_actor(request), key, form.duration)
    except Ended:
        messages.error(request, _("This key has ended: create a new one."))
        return go(request, "key-detail", pk)
    return shown_once(request, key, secret, old_until=timezone.now() + form.duration)


@needs("keys.see")
@require_http_methods(["GET", "HEAD", "POST"])
def revoke(request: HttpRequest, pk: int) -> HttpResponse:
    """For good: asked once more, with what it is used for now."""
    key = _visible(request, pk)
    if not Person(person_of(request)).may_end(key):
        raise NotAllowed("keys.change")
    if request.method != "POST":
        lately = keyuse.requests_since([key.pk], timezone.now() - HOUR)[key.pk]
        return _dialog(request, key, "keys/_revoke.html", {"lately": lately, "ends": True}, 200)
    if issuing.end(_actor(request), key):
        messages.success(request, _("%(name)s is revoked.") % {"name": key.name})
    return go(request, "key-detail", pk)


@needs("keys.see")
@require_POST
def end_old(request: HttpRequest, pk: int) -> HttpResponse:
    """What the overlap of a rotation left, over before its time."""
    key = _changeable(request, pk)
    ended = issuing.end_old(_actor(request), key)
    if ended:
        words = ngettext("The old secret is ended.", "%(n)d old secrets are ended.", ended)
        messages.success(request, words % {"n": ended})
    return go(request, "key-detail", pk)


@needs("keys.see")
@require_safe
def first(request: HttpRequest, pk: int) -> HttpResponse:
    """Has it been used since its secret was shown? Asked every few seconds, and no longer than somebody would look."""
    key, now = _visible(request, pk), timezone.now()
    given = request.GET.get("since", "")
    if not (given.isdecimal() and len(given) < 12):
        raise Http404
    since = datetime.fromtimestamp(int(given), UTC)
    came = key.last_used_at is not None and key.last_used_at >= since
    if not came and now - since < WAIT:
        return HttpResponse(status=204)
    return render(request, "keys/_first.html", {"key": key, "came": came, "over": not came})


# -- which key, and what the page shows ------------------------------------------------------


def _visible(request: HttpRequest, pk: int) -> ApiKey:
    """A key that somebody may not see does not exist for them."""
    keys = Person(person_of(request)).visible().select_related("team", "user", "created_by")
    return get_object_or_404(keys, pk=pk)


def _changeable(request: HttpRequest, pk: int) -> ApiKey:
    key = _visible(request, pk)
    if not Person(person_of(request)).may_change(key):
        raise NotAllowed("keys.change")
    if key.revoked_at is not None:
        raise Http404("What is revoked stays as it is.")
    return key


def _actor(request: HttpRequest) -> Actor:
    return Actor(person_of(request), request=request)


def _dialog(request: HttpRequest, key: ApiKey, template: str, more: dict[str, Any], status: int) -> HttpResponse:
    context = {"key": key} | more
    if from_htmx(request):
        return kept_from_caches(render(request, template, context, status=status))
    return kept_from_caches(page(request, DETAIL, _detail(request, key) | context, status=status))


def _detail(request: HttpRequest, key: ApiKey) -> dict[str, Any]:
    person, now = Person(person_of(request)), timezone.now()
    meter = keyuse.meters([key.pk], now).get(key.pk)
    since = now - keyuse.WEEK
    requests = keyuse.requests_since([key.pk], since)[key.pk]
    many = requests >= keyuse.MOST_COUNTED
    entries = AuditEntry.objects.filter(object_kind="apikey", object_id=str(key.pk)).order_by("-id")
    may_change = person.may_change(key) and key.revoked_at is None
    context: dict[str, Any] = {
        "key": key,
        "now": now,
        "live": issuing.is_live(key, now),
        "state": keylist.state_of(key, meter, now),
        "meter": meter,
        "requests": requests,
        "many": many,
        "spent": None if many else keyuse.spent_since(key.pk, since),
        "used": keyuse.models_used(key.pk, since),
        "allowed": _names(key.allowed_models),
        "use_case": UseCase.objects.filter(slug=key.use_case).first() or key.use_case,
        "tier": Tier.objects.filter(slug=key.tier).first() or key.tier,
        "rights": rights_of(key),
        "former": list(key.former_secrets.filter(ends_at__gt=now)),
        "entries": [(entry, told(entry), _differences(entry)) for entry in entries[:ENTRIES]],
        "may_change": may_change,
        "may_end": person.may_end(key) and key.revoked_at is None,
    }
    if not may_change and key.revoked_at is None:
        context["needed"] = reasons_for(request, "keys.change")["needed"]
    return context


def _names(allowed: list[str]) -> list[tuple[str, str]]:
    """Each as it is written, and as people call it."""
    if not allowed:
        return []
    snapshot = current_snapshot()
    cases = snapshot.routing.use_cases
    named = []
    for name in allowed:
        slug = name.removeprefix(f"{AUTO}/")
        known = cases.get(slug) if slug != name else None
        named.append((name, known.name if known else chosen(name, snapshot).name[:LONGEST]))
    return named


def _differences(entry: AuditEntry) -> str:
    """What changed, from what to what, in a line."""
    content = entry.content or {}
    before, after = content.get("before") or {}, content.get("after") or {}
    if not before:
        return entry.note
    return "; ".join(f"{name}: {before.get(name, '–')} > {after.get(name, '–')}" for name in {**before, **after})[:300]

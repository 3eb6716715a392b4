"""The page of one provider, a tab an address: overview, models, limits, activity. Its keys are in credentials.py."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db import transaction
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billing.declared import price_declared
from billing.models import Team
from billing.prices import row_at
from console import fleet, keyring, trials
from console.access import can, needs, require
from console.audit import fields_of, record
from console.figures import figures_of, uses_of
from console.forms.provider import ALLOWED_FIELDS, LimitsForm, MoveForm, SettingsForm, TeamsForm
from console.models import AuditEntry, User
from console.overview import told
from console.paging import page_of
from console.safely import steps_of
from console.verdicts import in_words
from console.views.access import reasons_for
from console.views.answers import from_htmx, go, kept_from_caches, page, person_of, refused_form
from console.views.undo import with_undo
from providers.listing import refresh_models
from providers.models import FormerSlug, LanguageModel, Provider, configuration_changed
from providers.registry import KINDS
from providers.vault import SealBroken
from routing import circuits

OFFERS = ("everywhere", "fallback", "off")


@needs("providers.see")
@require_safe
def overview(request: HttpRequest, slug: str) -> HttpResponse:
    provider = provider_at(slug)
    if provider.slug != slug:
        return redirect("provider-detail", provider.slug, permanent=True)
    return page(request, "providers/overview.html", _overview(request, provider))


@needs("providers.see")
@require_safe
def models(request: HttpRequest, slug: str) -> HttpResponse:
    provider = provider_at(slug)
    now = timezone.now()
    rows = page_of(
        provider.models.prefetch_related("prices"), ("-active", "model_id"), request.GET.get("after", ""), size=100
    )
    listed = [(model, row_at(model.prices.all(), now)) for model in rows.rows]
    may = can(request.user, "models.change")
    return page(request, "providers/models.html", context_of(request, provider, "models") | {
        "models": listed, "rows": rows, "may_change_models": may,
    })  # fmt: skip


@needs("models.change")
@require_POST
def change_models(request: HttpRequest, slug: str) -> HttpResponse:
    """Where one model, or all that are ticked, may be used."""
    provider = provider_at(slug)
    offer = request.POST.get("offer", "")
    if offer not in OFFERS:
        raise Http404
    chosen = provider.models.filter(pk__in=[pk for pk in request.POST.getlist("model") if pk.isdecimal()])
    after = {"active": offer != "off", "only_as_fallback": offer == "fallback"}
    changed = 0
    with transaction.atomic():
        for model in chosen:
            before = fields_of(model, *after)
            if before != after:
                LanguageModel.objects.filter(pk=model.pk).update(**after)
                record(person_of(request), "change", model, before=before, after=after, request=request)
                changed += 1
        if changed:
            configuration_changed()
    words = ngettext("%(n)d model changed.", "%(n)d models changed.", changed)
    messages.success(request, words % {"n": changed})
    return go(request, "provider-models", provider.slug)


@needs("models.change")
@require_POST
def read_models(request: HttpRequest, slug: str) -> HttpResponse:
    provider = provider_at(slug)
    read = refresh_models(provider)
    price_declared(provider)
    if read.problem:
        words = _("The list could not be read: %(problem)s") % {"problem": in_words(read.problem)}
        messages.warning(request, words)
    else:
        words = _("The list is read: %(new)d new, %(gone)d gone.")
        messages.success(request, words % {"new": len(read.added), "gone": len(read.gone)})
    return go(request, "provider-models", provider.slug)


@needs("providers.see")
@require_http_methods(["GET", "HEAD", "POST"])
def limits(request: HttpRequest, slug: str) -> HttpResponse:
    provider = provider_at(slug)
    if request.method != "POST":
        return page(request, "providers/limits.html", _limits(request, provider, LimitsForm(provider=provider)))
    require(request, "providers.change")
    before = fields_of(provider, "timeout_seconds", "options", *ALLOWED_FIELDS)
    form = LimitsForm(request.POST, provider=provider)
    if not form.is_valid():
        return refused_form(request, "providers/limits.html", _limits(request, provider, form), part="form")
    form.save()
    _note(request, provider, before)
    messages.success(request, _("The limits of %(name)s are saved.") % {"name": provider})
    return go(request, "provider-limits", provider.slug)


@needs("providers.change")
@require_POST
def settings(request: HttpRequest, slug: str) -> HttpResponse:
    provider = provider_at(slug)
    before = fields_of(provider, "name", "slug", "priority")
    form = SettingsForm(request.POST, provider=provider)
    if not form.is_valid():
        context = _overview(request, provider) | {"settings": form}
        return refused_form(request, "providers/overview.html", context, part="settings")
    with transaction.atomic():
        if form.cleaned_data["name"] != provider.name:
            before_slug = provider.slug
            provider.rename(form.cleaned_data["name"])
            circuits.renamed(before_slug, provider.slug)
        provider.priority = form.cleaned_data["priority"]
        provider.save(update_fields=["priority"])
    _note(request, provider, before)
    messages.success(request, _("%(name)s is saved.") % {"name": provider})
    return go(request, "provider-detail", provider.slug)


@needs("providers.change")
@sensitive_post_parameters()
@require_POST
def move(request: HttpRequest, slug: str) -> HttpResponse:
    """To another address. A key never follows by itself: whoever moves a provider gives the key for the new place."""
    provider = provider_at(slug)
    kind = KINDS[provider.kind]
    before = fields_of(provider, "base_url", "options")
    form = MoveForm(request.POST, provider=provider, kind=kind)
    if not form.is_valid():
        context = _overview(request, provider) | {"move": form, "open": "move"}
        return kept_from_caches(refused_form(request, "providers/overview.html", context, part="move"))
    keyring.move(provider, form.draft, dict(form.options))
    _note(request, provider, before, note="keys given anew")
    messages.success(request, _("%(name)s has a new address, and the key for it.") % {"name": provider})
    return go(request, "provider-detail", provider.slug)


@needs("providers.change")
@require_POST
def teams(request: HttpRequest, slug: str) -> HttpResponse:
    provider = provider_at(slug)
    before = fields_of(provider, "only_teams")
    form = TeamsForm(request.POST, provider=provider)
    if not form.is_valid():
        raise Http404
    provider.only_teams = [int(pk) for pk in form.cleaned_data["teams"]]
    provider.save(update_fields=["only_teams"])
    _note(request, provider, before)
    if provider.only_teams:
        words = _("%(name)s answers only these teams now.") % {"name": provider}
    else:
        words = _("%(name)s answers everybody now.") % {"name": provider}
    former = before["only_teams"]
    if len(former) < 2:  # the notice carries one value a field
        back = {"teams": former[0]} if former else {}
        with_undo(request, words, reverse("provider-teams", args=[provider.slug]), back)
    else:
        messages.success(request, words)
    return go(request, "provider-detail", provider.slug)


@needs("providers.change")
@require_POST
def trial(request: HttpRequest, slug: str) -> HttpResponse:
    """One step of the trial; its answer asks for the next one. Without scripts all of them at once."""
    provider = provider_at(slug)
    model = request.POST.get("model", "")
    name = request.POST.get("step") or next(iter(trials.STEPS))
    if name not in trials.STEPS or not provider.models.filter(model_id=model).exists():
        raise Http404
    key = next(iter(keyring.lasting(provider, timezone.now())), None)
    try:
        draft = keyring.with_key(provider, KINDS[provider.kind], key)
    except SealBroken:
        messages.error(request, _("Its key cannot be opened: enter it again."))
        return go(request, "provider-credentials", provider.slug)
    while name:
        provider.trial = trials.keep(provider, model, trials.run(draft, model, name))
        name = trials.after(name)
        if from_htmx(request):
            break
    if not name:
        ok = trials.passed(provider.trial)
        record(person_of(request), "check", provider, after={"trial": "passed" if ok else "failed"}, request=request)
    if from_htmx(request):
        return render(request, "providers/_trial.html", _trial(provider) | {"provider": provider, "next": name})
    return go(request, reverse("provider-detail", args=[provider.slug]) + "#trial")


@needs("providers.see")
@require_safe
def activity(request: HttpRequest, slug: str) -> HttpResponse:
    provider = provider_at(slug)
    mine = Q(object_kind="provider", object_id=str(provider.pk))
    rest = Q(object_kind__in=("credential", "languagemodel"), object_name__startswith=f"{provider.name}: ")
    rest |= Q(object_kind="languagemodel", object_name__startswith=f"{provider.slug}:")
    entries = page_of(AuditEntry.objects.filter(mine | rest), ("-id",), request.GET.get("after", ""))
    rows = [(entry, told(entry), _differences(entry)) for entry in entries.rows]
    context = context_of(request, provider, "activity") | {"entries": rows, "rows": entries}
    return page(request, "providers/activity.html", context)


# -- what the pages show -----------------------------------------------------------------


def provider_at(slug: str) -> Provider:
    """By its slug, or by one it had before."""
    found = Provider.objects.filter(slug=slug).first()
    if found is None:
        former = FormerSlug.objects.filter(slug=slug).select_related("provider").first()
        found = former.provider if former else None
    if found is None:
        raise Http404
    return found


def context_of(request: HttpRequest, provider: Provider, tab: str) -> dict[str, Any]:
    """What all tabs share: head, banner and the row of tabs."""
    may_change = can(request.user, "providers.change")
    kind = KINDS.get(provider.kind)
    by = User.objects.filter(pk=provider.connected_by_id).first() if provider.connected_by_id else None
    parts = (
        ("overview", _("Overview"), "provider-detail", None),
        ("models", _("Models"), "provider-models", provider.models.filter(active=True).count()),
        ("limits", _("Limits and circuit"), "provider-limits", None),
        ("credentials", _("Credentials"), "provider-credentials", provider.credentials.count()),
        ("activity", _("Activity"), "provider-activity", None),
    )
    tabs = [
        {"word": word, "href": reverse(name, args=[provider.slug]), "count": count, "on": key == tab}
        for key, word, name, count in parts
    ]
    context: dict[str, Any] = {
        "provider": provider,
        "kind": kind,
        "mark": kind or provider.name,
        "row": next(iter(fleet.judged(timezone.now(), only=[provider.pk])), None),
        "connected_by": by,
        "tabs": tabs,
        "may_change": may_change,
        "models_on": provider.models.filter(active=True).count(),
    }
    if not may_change:
        context["needed"] = reasons_for(request, "providers.change")["needed"]
    return context


def _overview(request: HttpRequest, provider: Provider) -> dict[str, Any]:
    context = context_of(request, provider, "overview")
    kind = context["kind"]
    steps = steps_of(provider)
    left = [step for step in steps if not step.done]
    context |= {
        "steps": [
            {"title": s.title, "words": s.words, "done": s.done, "act": s.act, "href": s.href, "next": s in left[:1]}
            for s in steps
        ],
        "steps_done": len(steps) - len(left),
        "place": {name: provider.options[name] for name in (kind.needs if kind else ()) if name in provider.options},
        "figures": figures_of(provider, timezone.now()),
        "uses": uses_of(provider),
        "only_teams": Team.objects.filter(pk__in=provider.only_teams).order_by("name"),
        "open": request.GET.get("open", ""),
    } | _trial(provider)
    if context["may_change"]:
        context |= {"settings": SettingsForm(provider=provider), "team_form": TeamsForm(provider=provider)}
        if context["kind"] is not None:
            context["move"] = MoveForm(provider=provider, kind=context["kind"])
    return context


def _trial(provider: Provider) -> dict[str, Any]:
    names = {
        "plain": _("A plain answer"),
        "stream": _("A streamed answer"),
        "tool": _("A call of a tool"),
        "unknown-model": _("A model that is not there"),
        "count": _("A long question, counted here and there"),
    }
    done = {step.get("name"): step for step in provider.trial.get("steps", [])}
    chat = provider.models.filter(active=True, use=LanguageModel.Use.CHAT).order_by("model_id")
    return {
        "trial": [{"name": name, "words": words, "step": done.get(name)} for name, words in names.items()],
        "trial_at": provider.trial.get("at", ""),
        "trial_model": provider.trial.get("model", ""),
        "trial_models": list(chat.values_list("model_id", flat=True)[:500]),
    }


def _limits(request: HttpRequest, provider: Provider, form: LimitsForm) -> dict[str, Any]:
    from console.views.circuits import circuits_of  # it stands on this module

    return context_of(request, provider, "limits") | {"form": form} | circuits_of(provider)


def _differences(entry: AuditEntry) -> str:
    """What changed, from what to what, in a line."""
    content = entry.content or {}
    before, after = content.get("before") or {}, content.get("after") or {}
    if not before:
        return entry.note
    return "; ".join(f"{name}: {before.get(name, '–')} > {after.get(name, '–')}" for name in {**before, **after})[:300]


def _note(request: HttpRequest, provider: Provider, before: dict[str, Any], note: str = "") -> None:
    after = fields_of(provider, *before)
    if after != before or note:
        record(person_of(request), "change", provider, before=before, after=after, note=note, request=request)

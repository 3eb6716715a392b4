"""The playground: ask a model, read its answer as it is written, see what it cost and why that model answered.

Everything here also works as plain forms and links; the socket (console/consumers.py) only makes text arrive alive.
"""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billing.models import Team
from console import runs
from console.access import can, memberships_of, needs, require
from console.audit import Named, record
from console.consumers import REFUSALS
from console.models import Room, Run, User
from console.picking import chosen, current_snapshot, last_choice, options_for
from console.rooms import Shelf, Thread, rooms_of, shelf_of, thread_of
from console.runs import AlreadyBegun, Question, Refused
from console.trace import trace_of
from console.views.answers import from_htmx, page, person_of
from console.views.undo import with_undo

LONGEST_DRAFT = 100_000


def prompts() -> list[str]:
    """What an empty room offers: real work, not slogans."""
    return [
        _("A customer's oak bench is two weeks late. Write a short, friendly reply and offer to call them today."),
        _("Explain what a circuit breaker between two services does, with a small Python example."),
        _("We are moving a shared inbox of 40 requests a day to a ticket system. Make a plan in five steps."),
    ]


# -- pages ------------------------------------------------------------------------


@needs("play.see")
@require_http_methods(["GET", "HEAD", "POST"])
async def index(request: HttpRequest) -> HttpResponse:
    """A room that does not exist yet: it is made with its first question."""
    if request.method == "POST":
        return await _begin_in_new_room(request)
    return await sync_to_async(_new_room_page)(request)


@needs("play.see")
@require_http_methods(["GET", "HEAD", "POST"])
async def detail(request: HttpRequest, pk: int) -> HttpResponse:
    if request.method == "POST":
        parent_id = _number(request.POST.get("parent", ""))
        return await _begin(request, pk, text=request.POST.get("text", ""), parent_id=parent_id)
    return await sync_to_async(_room_page)(request, pk)


def _new_room_page(request: HttpRequest, *, text: str = "", fault: str = "", status: int = 200) -> HttpResponse:
    person = person_of(request)
    shelf = _shelf(request, person)
    if _wants_shelf(request):
        return render(request, "play/room.html#shelf", {"shelf": shelf})
    team = _chosen_team(person, request.GET.get("team", "") or request.POST.get("team", ""))
    offered = prompts()
    picked = _number(request.GET.get("prompt", ""))
    if not text and picked is not None and 0 <= picked < len(offered):
        text = offered[picked]
    elif not text and not shelf.page.rows and not shelf.query:
        text = offered[0]
    model = request.POST.get("model", "") or request.GET.get("model", "")
    context = _context(person, team, model, shelf, text) | {"prompts": offered, "fault": fault}
    return render(request, "play/room.html", context, status=status)


def _room_page(request: HttpRequest, pk: int) -> HttpResponse:
    person = person_of(request)
    room = _room(person, pk)
    at, before = _number(request.GET.get("at", "")), _number(request.GET.get("before", ""))
    thread = thread_of(room, at=at, before=before, now=timezone.now())
    may_use = can(person, "play.use")
    if from_htmx(request) and before is not None:
        return render(request, "play/room.html#older", {"room": room, "thread": thread, "may_use": may_use})
    shelf = _shelf(request, person)
    if _wants_shelf(request):
        return render(request, "play/room.html#shelf", {"shelf": shelf, "room": room})
    context = _context(person, room.team, request.GET.get("model", "") or room.model, shelf, room.draft)
    return render(request, "play/room.html", context | {"room": room, "thread": thread, "stays": at is not None})


def _context(person: User, team: Team | None, model: str, shelf: Shelf, text: str) -> dict[str, Any]:
    """What a room and a room-to-be have in common."""
    teams = [membership.team for membership in memberships_of(person)]
    options = options_for(current_snapshot(), team.pk if team else None, model, last_choice(person))
    thread: Thread | None = None
    return {
        "room": None,
        "thread": thread,
        "shelf": shelf,
        "text": text,
        "team": team if team in teams else next(iter(teams), None),
        "teams": teams,
        "options": options,
        "may_use": can(person, "play.use"),
    }


@needs("play.see")
@require_safe
def why(request: HttpRequest, pk: int, message: int) -> HttpResponse:
    room = _room(person_of(request), pk)
    run = get_object_or_404(Run.objects.select_related("message"), message_id=message, message__room=room)
    by = chosen(f"{run.provider}:{run.model}" if run.provider else run.asked_model, current_snapshot())
    context = {"room": room, "run": run, "by": by, "trace": trace_of(run)}
    return page(request, "play/why.html", context, part="trace")


# -- questions ---------------------------------------------------------------------


async def _begin_in_new_room(request: HttpRequest) -> HttpResponse:
    room = await sync_to_async(_new_room)(request)
    try:
        await _asked(request, room.pk, text=request.POST.get("text", ""), opens_room=True)
    except Refused as refusal:
        await room.adelete()
        words, text = str(REFUSALS[refusal.code]), request.POST.get("text", "")
        return await sync_to_async(_new_room_page)(request, text=text, fault=words, status=422)
    except AlreadyBegun as begun:
        await room.adelete()
        run = await Run.objects.select_related("message").aget(pk=begun.run_id)
        return redirect("room-detail", run.message.room_id)
    return redirect("room-detail", room.pk)


def _new_room(request: HttpRequest) -> Room:
    require(request, "play.use")
    person = person_of(request)
    team = _chosen_team(person, request.POST.get("team", ""))
    return Room.objects.create(owner=person, team=team, model=request.POST.get("model", "")[:300])


@needs("play.use")
@require_POST
async def edit(request: HttpRequest, pk: int) -> HttpResponse:
    return await _begin(request, pk, text=request.POST.get("text", ""), edits=_needed(request, "message"))


@needs("play.use")
@require_POST
async def again(request: HttpRequest, pk: int) -> HttpResponse:
    return await _begin(request, pk, again=_needed(request, "message"))


async def _begin(request: HttpRequest, pk: int, **question: Any) -> HttpResponse:
    await sync_to_async(require)(request, "play.use")
    await sync_to_async(_room)(person_of(request), pk)
    try:
        await _asked(request, pk, **question)
    except Refused as refusal:
        await sync_to_async(_say_refused)(request, pk, refusal, question.get("text", ""))
    except AlreadyBegun:
        pass  # the form was sent twice: its answer is on the page
    return redirect("room-detail", pk)


async def _asked(request: HttpRequest, room_id: int, **question: Any) -> None:
    model, draft_id = request.POST.get("model", "")[:300].strip(), request.POST.get("draft_id", "")[:80]
    here = await runs.started()
    await here.begin(person_of(request), Question(room_id, model=model, draft_id=draft_id, **question))


def _say_refused(request: HttpRequest, pk: int, refusal: Refused, text: str) -> None:
    messages.error(request, str(REFUSALS[refusal.code]))
    if text:
        rooms_of(person_of(request)).filter(pk=pk).update(draft=text[:LONGEST_DRAFT])


@needs("play.use")
@require_POST
async def stop(request: HttpRequest, pk: int) -> HttpResponse:
    room = await sync_to_async(_room)(person_of(request), pk)
    run = await Run.objects.filter(pk=request.POST.get("run", ""), message__room=room).afirst()
    if run is None:
        raise Http404("There is no such answer in this room.")
    here = await runs.started()
    await here.ask_stop(run.pk)
    return redirect("room-detail", pk)


# -- the room itself ------------------------------------------------------------------


@needs("play.use")
@require_POST
def draft(request: HttpRequest, pk: int) -> HttpResponse:
    """Kept while it is typed. No answer is needed, and the room does not move in the list."""
    _room(person_of(request), pk)
    rooms_of(person_of(request)).filter(pk=pk).update(draft=request.POST.get("text", "")[:LONGEST_DRAFT])
    return HttpResponse(status=204)


@needs("play.use")
@require_POST
def rename(request: HttpRequest, pk: int) -> HttpResponse:
    room = _room(person_of(request), pk)
    title = " ".join(request.POST.get("title", "").split())
    if not title or len(title) > 200:
        messages.error(request, _("A room's name has between 1 and 200 characters."))
        return redirect("room-detail", pk)
    room.title = title
    room.save(update_fields=["title"])
    return redirect("room-detail", pk)


@needs("play.use")
@require_POST
def choose_team(request: HttpRequest, pk: int) -> HttpResponse:
    """Who pays for the next answers."""
    room = _room(person_of(request), pk)
    team = _chosen_team(person_of(request), request.POST.get("team", ""), strictly=True)
    room.team = team
    room.save(update_fields=["team"])
    return redirect("room-detail", pk)


@needs("play.use")
@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    room = _room(person_of(request), pk)
    room.deleted_at = timezone.now()
    room.save(update_fields=["deleted_at"])
    _note(request, "delete", pk)
    with_undo(request, _("“%(room)s” was deleted.") % {"room": room}, reverse("room-restore", args=[pk]))
    return redirect("play")


@needs("play.use")
@require_POST
def restore(request: HttpRequest, pk: int) -> HttpResponse:
    person = person_of(request)
    room = get_object_or_404(Room, pk=pk, owner=person)
    if room.deleted_at is not None:
        room.deleted_at = None
        room.save(update_fields=["deleted_at"])
        _note(request, "restore", pk)
    return redirect("room-detail", pk)


def _note(request: HttpRequest, verb: str, pk: int) -> None:
    """Without the room's name: it says what the conversation is about, and that is private."""
    record(person_of(request), verb, Named("room", str(pk), f"room {pk}"), request=request)


# -- what a request names -----------------------------------------------------------------


def _room(person: User, pk: int) -> Room:
    room: Room = get_object_or_404(rooms_of(person).select_related("team"), pk=pk)
    return room


def _chosen_team(person: User, slug: str, *, strictly: bool = False) -> Team | None:
    teams = [membership.team for membership in memberships_of(person)]
    found = next((team for team in teams if team.slug == slug), None)
    if found is None and strictly:
        raise Http404("You are in no such team.")
    return found or next(iter(teams), None)


def _shelf(request: HttpRequest, person: User) -> Shelf:
    query = request.GET.get("q", "").strip()[:100]
    return shelf_of(person, timezone.now(), cursor=request.GET.get("after", ""), query=query)


def _wants_shelf(request: HttpRequest) -> bool:
    return from_htmx(request) and request.headers.get("HX-Target", "").endswith("#shelf")


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


def _needed(request: HttpRequest, name: str) -> int:
    number = _number(request.POST.get(name, ""))
    if number is None:
        raise Http404("The form names no message.")
    return number


urlpatterns = [
    path("play/", index, name="play"),
    path("play/<int:pk>/", detail, name="room-detail"),
    path("play/<int:pk>/edit/", edit, name="room-edit"),
    path("play/<int:pk>/again/", again, name="room-again"),
    path("play/<int:pk>/stop/", stop, name="room-stop"),
    path("play/<int:pk>/draft/", draft, name="room-draft"),
    path("play/<int:pk>/rename/", rename, name="room-rename"),
    path("play/<int:pk>/team/", choose_team, name="room-team"),
    path("play/<int:pk>/delete/", delete, name="room-delete"),
    path("play/<int:pk>/restore/", restore, name="room-restore"),
    path("play/<int:pk>/why/<int:message>/", why, name="room-why"),
]

"""The pages of the playground: what is listed, which branch is shown, who may, and everything without a script."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import AsyncClient
from django.urls import reverse
from django.utils import timezone

from billing.models import Organisation
from console import rooms
from console.models import AuditEntry, Message, Room, Run, RunFrame
from console.picking import options_for
from console.rooms import Branches, Siblings, shelf_of, thread_of
from console.runs import Runs
from providers.models import Provider
from routing import demonstration
from routing.compiler import compile_snapshot
from tests.console.playing import AT_ONCE, finished_answer
from tests.factories import make_model, make_provider, make_team

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture
def demo(db: None) -> Provider:
    return demonstration.furnish()


def _room(person: Any, **fields: Any) -> Room:
    return Room.objects.create(owner=person, **fields)


def _conversation(room: Room, turns: int) -> list[Message]:
    answers: list[Message] = []
    for number in range(turns):
        answers.append(finished_answer(room, f"answer number {number}", answers[-1] if answers else None))
    return answers


# -- a new room ---------------------------------------------------------------------------


def test_the_first_page_has_the_demonstration_and_a_prompt(demo: Provider, alice: Any, signed_in: Any) -> None:
    page = signed_in(alice).get("/play/").content.decode()
    assert '<option value="demo:relay-1" selected>Relay 1 · Demo</option>' in page
    assert page.count("data-prompt") == 3
    assert "oak bench is two weeks late" in page.partition("<textarea")[2].partition("</textarea>")[0]


def test_a_prompt_can_be_picked_without_a_script(demo: Provider, bob: Any, signed_in: Any) -> None:
    _room(bob, title="An old one")
    composer = signed_in(bob).get("/play/").content.decode().partition("<textarea")[2]
    assert "oak bench" not in composer.partition("</textarea>")[0]
    composer = signed_in(bob).get("/play/?prompt=1").content.decode().partition("<textarea")[2]
    assert "circuit breaker" in composer.partition("</textarea>")[0]
    assert signed_in(bob).get("/play/?prompt=99").status_code == 200


def test_a_model_can_be_named_in_the_address(demo: Provider, bob: Any, signed_in: Any) -> None:
    page = signed_in(bob).get("/play/?model=demo:relay-1-mini").content.decode()
    assert '<option value="demo:relay-1-mini" selected>' in page


def test_without_a_model_the_composer_says_what_to_do(bob: Any, signed_in: Any) -> None:
    page = signed_in(bob).get("/play/").content.decode()
    assert "No model can answer yet" in page
    assert 'name="text"' not in page


def test_a_viewer_looks(demo: Provider, vera: Any, signed_in: Any) -> None:
    client = signed_in(vera)
    room = _room(vera, title="From earlier")
    finished_answer(room, "An answer")
    page = client.get("/play/").content.decode()
    assert "You can look, not change" in page
    page = client.get(f"/play/{room.pk}/").content.decode()
    assert "An answer" in page
    for word in ('name="text"', "Regenerate", "Edit question", "New room</"):
        assert word not in page


@pytest.mark.parametrize("path", ["edit", "again", "stop", "draft", "rename", "team", "delete", "restore"])
def test_a_viewer_changes_nothing(vera: Any, signed_in: Any, path: str) -> None:
    room = _room(vera, title="Mine")
    answer = finished_answer(room, "An answer")
    fields = {"message": answer.pk, "text": "x", "title": "y", "run": answer.run.pk}
    assert signed_in(vera).post(f"/play/{room.pk}/{path}/", fields).status_code == 403
    room.refresh_from_db()
    assert (room.title, room.deleted_at, room.draft) == ("Mine", None, "")


def test_finance_has_no_playground(dana: Any, signed_in: Any) -> None:
    assert signed_in(dana).get("/play/").status_code == 403


# -- picking a model ------------------------------------------------------------------------


def test_a_default_that_is_real_hides_behind_auto(demo: Provider, research: Any) -> None:
    groq = make_provider("Groq", "demo", slug="groq", priority=10)
    make_model(groq, "llama", name="Llama 4")
    house = Organisation.get()
    house.default_model = "groq:llama"
    house.save()
    options = options_for(compile_snapshot(), None)
    assert options.automatic == "Llama 4"
    assert dict(options.groups)["Groq"][0].value == "groq:llama"


def test_the_picker_takes_the_first_wish_that_is_there(demo: Provider) -> None:
    snapshot = compile_snapshot()
    assert options_for(snapshot, None, "", "demo:gone", "demo:relay-1-mini", "auto").selected == "demo:relay-1-mini"
    assert options_for(snapshot, None, "auto").selected == "auto"
    assert options_for(snapshot, None).selected == "demo:relay-1"
    labels = [label for label, _ in options_for(snapshot, None).groups]
    assert labels == ["Demo", "Demo: faults to try"]


def test_what_cannot_chat_or_is_off_is_not_offered(demo: Provider) -> None:
    demo.models.filter(model_id="relay-1-mini").update(active=False)
    values = options_for(compile_snapshot(), None).values
    assert "demo:relay-1-embed" not in values
    assert "demo:relay-1-mini" not in values


def test_what_answers_other_teams_only_is_not_offered(demo: Provider, research: Any) -> None:
    tried = make_provider("Tried", "demo", slug="tried", only_teams=[research.pk])
    make_model(tried, "new-one", capabilities=["vision"], stage="preview")
    assert "tried:new-one" not in options_for(compile_snapshot(), None).values
    options = dict(options_for(compile_snapshot(), research.pk).groups)
    assert options["Tried"][0].remarks == ("preview", "reads images")


# -- the list of rooms ---------------------------------------------------------------------------


def test_rooms_are_private(bob: Any, alice: Any, signed_in: Any) -> None:
    room = _room(bob, title="Bob's own")
    client = signed_in(alice)
    assert "Bob&#x27;s own" not in client.get("/play/").content.decode()
    for path in ("", "edit/", "again/", "stop/", "draft/", "rename/", "team/", "delete/", "restore/"):
        answer = client.post(f"/play/{room.pk}/{path}", {"message": 1, "text": "x"})
        assert answer.status_code == 404, path
    assert client.get(f"/play/{room.pk}/").status_code == 404
    assert client.get(f"/play/{room.pk}/why/1/").status_code == 404


def test_the_list_is_grouped_by_day(bob: Any) -> None:
    now = timezone.now().replace(month=11, day=25, hour=12)
    for days, title in ((0, "a"), (1, "b"), (3, "c"), (40, "d")):
        _room(bob, title=title, touched_at=now - timedelta(days=days))
    shelf = shelf_of(bob, now)
    names = [(name, [row.room.title for row in rows]) for name, rows in shelf.groups]
    assert names[:3] == [("Today", ["a"]), ("Yesterday", ["b"]), ("Earlier in November", ["c"])]
    assert names[3][0].startswith("October ")


def test_a_row_says_model_and_cost(demo: Provider, bob: Any) -> None:
    room = _room(bob, model="demo:relay-1")
    finished_answer(room, "a", amount_nano=2_000_000_000, currency="EUR")
    finished_answer(room, "b", amount_nano=340_000_000, currency="EUR")
    free = _room(bob, model="auto")
    finished_answer(free, "c", amount_nano=0, currency="USD", status="running")
    rows = {row.room.pk: row for _, rows in shelf_of(bob, timezone.now()).groups for row in rows}
    assert (rows[room.pk].model, rows[room.pk].cost, rows[room.pk].live) == ("Relay 1", "€2.34", False)
    assert (rows[free.pk].model, rows[free.pk].cost, rows[free.pk].live) == ("Auto", "free", True)


def test_older_rooms_are_a_page_away(bob: Any, signed_in: Any, django_assert_max_num_queries: Any) -> None:
    now = timezone.now()
    for number in range(rooms.ROOMS + 5):
        _room(bob, title=f"room {number:02}", touched_at=now - timedelta(minutes=number))
    client = signed_in(bob)
    page = client.get("/play/").content.decode()
    assert "room 29" in page
    assert "room 30" not in page
    after = page.partition("&amp;after=")[2].partition('"')[0]
    with django_assert_max_num_queries(40):
        part = client.get(f"/play/?q=&after={after}", headers={**HTMX, "HX-Target": "div#shelf"}).content.decode()
    assert "room 34" in part
    assert "room 29" not in part
    assert "<html" not in part


def test_rooms_are_searched(bob: Any, signed_in: Any) -> None:
    _room(bob, title="Refund policy 100%")
    _room(bob, title="Weekly summary")
    client = signed_in(bob)
    part = client.get("/play/?q=100%25", headers={**HTMX, "HX-Target": "div#shelf"}).content.decode()
    assert "Refund policy" in part
    assert "Weekly" not in part
    assert "No room is called" in client.get("/play/?q=nothing").content.decode()


# -- branches ------------------------------------------------------------------------------------


def test_the_newest_branch_is_shown_and_the_others_are_an_arrow_away() -> None:
    #  1 - 2 - 3 - 4
    #        \ 5 - 6        7 is another try of 6, 8 another first question
    links = [(1, None), (2, 1), (3, 2), (4, 3), (5, 2), (6, 5), (7, 5), (8, None)]
    branches = Branches(links[:7])
    assert branches.path() == [1, 2, 5, 7]
    assert branches.path(3) == [1, 2, 3, 4]
    assert branches.path(6) == [1, 2, 5, 6]
    assert branches.path(99) == [1, 2, 5, 7]
    assert branches.siblings(3) == Siblings(1, 2, None, 5)
    assert branches.siblings(7) == Siblings(2, 2, 6, None)
    assert Branches(links).path() == [8]
    assert Branches([]).path() == []


def test_a_long_thread_comes_in_pieces(bob: Any) -> None:
    room = _room(bob)
    _conversation(room, 25)
    now = timezone.now()
    thread = thread_of(room, now=now)
    assert len(thread.turns) == rooms.TURNS
    assert thread.older == thread.turns[0].message.pk
    above = thread_of(room, before=thread.older, now=now)
    assert len(above.turns) == 20
    assert above.older is None
    everything = [turn.message.pk for turn in above.turns + thread.turns]
    assert everything == list(room.messages.order_by("id").values_list("pk", flat=True))
    assert thread.last == above.last == everything[-1]


def test_earlier_messages_of_another_branch_stay_in_it(bob: Any) -> None:
    room = _room(bob)
    long_branch = _conversation(room, 20)
    _conversation(room, 1)
    thread = thread_of(room, at=long_branch[-1].pk, now=timezone.now())
    assert thread.older is not None
    above = thread_of(room, before=thread.older, now=timezone.now())
    assert above.turns[0].message.text == "Q: answer number 0"


def test_earlier_messages_are_a_fragment(bob: Any, signed_in: Any) -> None:
    room = _room(bob)
    _conversation(room, 25)
    client = signed_in(bob)
    page = client.get(f"/play/{room.pk}/").content.decode()
    older = page.partition('class="btn ghost sm older" href="?before=')[2].partition('"')[0]
    part = client.get(f"/play/{room.pk}/?before={older}", headers=HTMX).content.decode()
    assert "answer number 0" in part
    assert "answer number 24" not in part
    assert "<html" not in part


# -- what a turn shows ---------------------------------------------------------------------------


def test_what_people_and_models_write_is_never_markup(bob: Any, signed_in: Any) -> None:
    room = _room(bob, title="<script>title</script>", draft="</textarea><script>draft</script>")
    finished_answer(room, "<script>answer</script> **bold**", error_message="<script>error</script>", status="failed")
    page = signed_in(bob).get(f"/play/{room.pk}/").content.decode()
    assert "<script>title" not in page
    assert "<script>draft" not in page
    assert "<script>answer" not in page
    assert "<script>error" not in page
    assert "<strong>bold</strong>" in page


def test_the_line_under_an_answer(bob: Any, demo: Provider) -> None:
    run = Run(
        first_token_ms=604,
        duration_ms=2604,
        input_tokens=1596,
        output_tokens=148,
        amount_nano=3_100_000,
        currency="EUR",
    )
    assert rooms.stats_of(run) == rooms.Stats("604\xa0ms", "74", "1,596", "148", "€0.0031")
    run.amount_nano = 0
    assert rooms.stats_of(run).cost == "free"
    run.amount_nano = None
    assert rooms.stats_of(run).cost == "no price"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"status": "failed", "error_code": "upstream_auth"}, "The provider refused our key"),
        ({"status": "failed", "error_code": "something_new"}, "The provider failed. Try again"),
        ({"status": "interrupted", "error_code": "server_restart"}, "The server restarted before"),
        ({"status": "stopped"}, "Stopped. What came until then"),
        ({"status": "done", "error_code": "length"}, "Cut: this is the longest answer"),
    ],
)
def test_an_end_that_was_not_hoped_for_is_explained(bob: Any, signed_in: Any, fields: Any, words: str) -> None:
    room = _room(bob)
    finished_answer(room, "Half an", **fields)
    page = signed_in(bob).get(f"/play/{room.pk}/").content.decode()
    assert words in page
    assert "Half an" in page


def test_a_running_answer_shows_what_its_log_holds_and_where_to_go_on(bob: Any, signed_in: Any) -> None:
    room = _room(bob)
    run = finished_answer(room, "", status="running", provider="", model="").run
    for seq, frame in enumerate(
        (
            {"type": "delta", "text": "First.\n\nSec"},
            {"type": "block", "html": "<p>First.</p>\n", "tail": "Sec"},
            {"type": "delta", "text": "ond <b>"},
        ),
        1,
    ):
        RunFrame.objects.create(run=run, seq=seq, payload=frame)
    page = signed_in(bob).get(f"/play/{room.pk}/").content.decode()
    assert f'data-run="{run.pk}" data-seq="3" aria-busy="true"' in page
    assert '<p>First.</p>\n<p class="tail caret">Second &lt;b&gt;</p>' in page
    assert '<meta http-equiv="refresh"' in page


def test_a_thread_costs_a_fixed_number_of_queries(
    bob: Any, demo: Provider, signed_in: Any, django_assert_max_num_queries: Any
) -> None:
    client = signed_in(bob)
    room = _room(bob)
    _conversation(room, 15)
    client.get(f"/play/{room.pk}/")
    with django_assert_max_num_queries(62):
        client.get(f"/play/{room.pk}/")


# -- changing a room ------------------------------------------------------------------------------


def test_a_draft_is_kept_while_it_is_typed(bob: Any, demo: Provider, signed_in: Any) -> None:
    room = _room(bob)
    touched = room.touched_at
    client = signed_in(bob)
    assert client.post(f"/play/{room.pk}/draft/", {"text": "Half a thought"}).status_code == 204
    room.refresh_from_db()
    assert (room.draft, room.touched_at) == ("Half a thought", touched)
    assert ">Half a thought</textarea>" in client.get(f"/play/{room.pk}/").content.decode()


def test_a_room_is_renamed(bob: Any, signed_in: Any) -> None:
    room = _room(bob, title="Old")
    client = signed_in(bob)
    client.post(f"/play/{room.pk}/rename/", {"title": "  A   new name "})
    room.refresh_from_db()
    assert room.title == "A new name"
    answer = client.post(f"/play/{room.pk}/rename/", {"title": " "}, follow=True)
    assert "between 1 and 200" in answer.content.decode()
    room.refresh_from_db()
    assert room.title == "A new name"


def test_deleting_can_be_undone(bob: Any, signed_in: Any) -> None:
    room = _room(bob, title="Private matter")
    client = signed_in(bob)
    answer = client.post(f"/play/{room.pk}/delete/", follow=True).content.decode()
    assert "“Private matter” was deleted." in answer
    assert reverse("room-restore", args=[room.pk]) in answer
    assert client.get(f"/play/{room.pk}/").status_code == 404
    client.post(f"/play/{room.pk}/restore/")
    assert client.get(f"/play/{room.pk}/").status_code == 200
    entries = AuditEntry.objects.filter(object_kind="room")
    assert sorted(entries.values_list("verb", flat=True)) == ["delete", "restore"]
    assert not entries.filter(object_name__contains="Private").exists()


def test_who_pays_can_be_chosen_among_ones_own_teams(bob: Any, research: Any, signed_in: Any) -> None:
    make_team("Other")
    room = _room(bob)
    client = signed_in(bob)
    client.post(f"/play/{room.pk}/team/", {"team": "research"})
    room.refresh_from_db()
    assert room.team == research
    assert client.post(f"/play/{room.pk}/team/", {"team": "other"}).status_code == 404


# -- without a script -----------------------------------------------------------------------------


def _client(person: Any) -> AsyncClient:
    client = AsyncClient()
    client.force_login(person, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client


@pytest.mark.django_db(transaction=True)
async def test_a_form_opens_a_room_and_asks(here: Runs, bob: Any, research: Any) -> None:
    from asgiref.sync import sync_to_async

    client = await sync_to_async(_client)(bob)
    fields = {"text": "Hello from a form", "model": AT_ONCE, "draft_id": "one"}
    answer = await client.post("/play/", fields)
    room = await Room.objects.aget()
    assert answer["Location"] == f"/play/{room.pk}/"
    assert (room.title, room.team_id) == ("Hello from a form", research.pk)
    again = await client.post("/play/", fields)  # the button was pressed twice
    assert again["Location"] == f"/play/{room.pk}/"
    assert await Room.objects.acount() == await Run.objects.acount() == 1
    for writing in list(here.live.values()):
        await writing.task
    parent = (await Message.objects.aget(author="assistant")).pk
    answer = await client.post(f"/play/{room.pk}/", {"text": "And more", "model": AT_ONCE, "parent": parent})
    assert answer.status_code == 302
    assert await Message.objects.filter(text="And more", parent_id=parent).aexists()


@pytest.mark.django_db(transaction=True)
async def test_forms_edit_regenerate_and_stop(here: Runs, bob: Any) -> None:
    from asgiref.sync import sync_to_async

    client = await sync_to_async(_client)(bob)
    room = await Room.objects.acreate(owner=bob, model="demo:custom?ttft=0&tps=40&tokens=4000")
    answer = await sync_to_async(finished_answer)(room, "First")
    await client.post(f"/play/{room.pk}/edit/", {"message": answer.parent_id, "text": "Other words"})
    await client.post(f"/play/{room.pk}/again/", {"message": answer.pk})
    assert await Message.objects.filter(author="user").acount() == 2
    assert await Message.objects.filter(parent_id=answer.parent_id).acount() == 2
    tasks = {run_id: writing.task for run_id, writing in here.live.items()}
    assert len(tasks) == 2
    for run_id, task in tasks.items():
        await client.post(f"/play/{room.pk}/stop/", {"run": run_id})
        await task
    assert await Run.objects.filter(status="stopped").acount() == 2


@pytest.mark.django_db(transaction=True)
async def test_what_is_refused_comes_back_as_it_was_typed(here: Runs, bob: Any) -> None:
    from asgiref.sync import sync_to_async

    client = await sync_to_async(_client)(bob)
    answer = await client.post("/play/", {"text": "   ", "model": AT_ONCE})
    assert answer.status_code == 422
    assert "There is nothing to send." in answer.content.decode()
    assert not await Room.objects.aexists()
    room = await Room.objects.acreate(owner=bob)
    answer = await client.post(f"/play/{room.pk}/", {"text": "Reply to nothing", "parent": 12345}, follow=True)
    page = answer.content.decode()
    assert "That message is not in this room." in page
    assert ">Reply to nothing</textarea>" in page

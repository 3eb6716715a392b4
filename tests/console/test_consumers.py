"""The socket of a room: who may open it, what it takes, and that no character is lost on the way."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.models import Session
from django.utils import timezone

from console import consumers
from console.access import declared_actions
from console.models import Message, Room, Run, User
from console.runs import Runs, store
from console.runs.log import text_of
from tests.console.playing import (
    AT_LENGTH,
    AT_ONCE,
    SECONDS,
    SLOWLY,
    STEADILY,
    asked,
    ended,
    finished_answer,
    room_of,
    session_of,
    written,
)

pytestmark = [pytest.mark.store, pytest.mark.django_db(transaction=True)]
ORIGIN = b"http://testserver"

Talk = Callable[..., Any]


class Socket(WebsocketCommunicator):
    """One browser's socket, and what it heard."""

    accepted = False

    async def say(self, **message: Any) -> None:
        await self.send_json_to(message)

    async def hear(self, *kinds: str) -> dict[str, Any]:
        """The next message of one of these types; everything before it is passed over."""
        while True:
            told: dict[str, Any] = await self.receive_json_from(timeout=SECONDS)
            if told["type"] in kinds:
                return told

    async def closed_with(self) -> int:
        while True:
            event = await self.receive_output(timeout=SECONDS)
            if event["type"] == "websocket.close":
                return int(event["code"])


@pytest.fixture
async def open_socket(here: Runs, signed_in: Any) -> AsyncIterator[Talk]:
    """`await open_socket(bob, room)`: connected, and leaving when the test ends."""
    from console.asgi import application

    opened: list[Socket] = []

    async def connect(
        person: Any, room: Any, *, origin: bytes = ORIGIN, subscribed: bool = True, last: int = 0
    ) -> Socket:
        headers = [(b"origin", origin), (b"host", b"testserver")]
        if person is not None:
            client = await sync_to_async(signed_in)(person)
            headers.append((b"cookie", f"relayhouse_session={session_of(client)}".encode()))
        number = room if isinstance(room, int) else room.pk
        socket = Socket(application, f"/ws/rooms/{number}/", headers=headers)
        socket.accepted, _ = await socket.connect(timeout=SECONDS)
        opened.append(socket)
        if subscribed and socket.accepted:
            await socket.say(action="subscribe", runs={}, last=last)
        return socket

    yield connect
    for socket in opened:
        if socket.accepted:
            await socket.disconnect(timeout=SECONDS)


async def text_from(socket: Socket, run: str) -> str:
    """All deltas of a run until it ends."""
    text = ""
    while True:
        told = await socket.hear("delta", "done", "error")
        if told["run"] != run:
            continue
        if told["type"] != "delta":
            return text
        text += told["text"]


async def text_after(run_id: str, seq: int) -> str:
    """What the log says came after a number; all of it is the message's text."""
    frames = await sync_to_async(store.frames_of)(run_id)
    assert text_of(frame for _, frame in frames) == (await Message.objects.aget(run=run_id)).text
    return text_of(frame for number, frame in frames if number > seq)


async def text_until(run_id: str, seq: int) -> str:
    frames = await sync_to_async(store.frames_of)(run_id)
    return text_of(frame for number, frame in frames if number <= seq)


# -- who comes in ----------------------------------------------------------------------


async def test_a_stranger_is_closed(open_socket: Talk, bob: Any) -> None:
    socket = await open_socket(None, await room_of(bob), subscribed=False)
    assert await socket.closed_with() == consumers.SIGNED_OUT


async def test_a_role_without_the_playground_is_closed(open_socket: Talk, dana: Any) -> None:
    socket = await open_socket(dana, await room_of(dana), subscribed=False)
    assert await socket.closed_with() == consumers.NOT_ALLOWED


@pytest.mark.parametrize("which", ["foreign", "deleted", "none"])
async def test_a_room_that_is_not_theirs_is_not_found(open_socket: Talk, alice: Any, bob: Any, which: str) -> None:
    rooms = {
        "foreign": await room_of(bob),
        "deleted": await room_of(alice, deleted_at=timezone.now()),
        "none": 999_999,
    }
    socket = await open_socket(alice, rooms[which], subscribed=False)
    assert await socket.closed_with() == consumers.NOT_FOUND


@pytest.mark.parametrize("origin", [b"http://evil.example", b"null", b""])
async def test_another_site_cannot_open_it(open_socket: Talk, bob: Any, origin: bytes) -> None:
    socket = await open_socket(bob, await room_of(bob), origin=origin, subscribed=False)
    assert not socket.accepted


@pytest.mark.parametrize("action", ["send", "edit", "regenerate", "stop"])
async def test_a_viewer_looks_on(open_socket: Talk, vera: Any, action: str) -> None:
    room = await room_of(vera)
    answer = await sync_to_async(finished_answer)(room, "Once upon a time")
    socket = await open_socket(vera, room)
    await socket.say(action=action, text="x", message=answer.pk, run=f"run_{answer.pk:032x}")
    assert (await socket.hear("refused"))["code"] == "not_allowed"
    assert await Message.objects.acount() == 2


async def test_somebody_deactivated_is_out_with_their_next_message(open_socket: Talk, bob: Any) -> None:
    socket = await open_socket(bob, await room_of(bob))
    await User.objects.filter(pk=bob.pk).aupdate(is_active=False)
    await socket.say(action="send", text="Still here?", model=AT_ONCE)
    assert await socket.closed_with() == consumers.SIGNED_OUT
    assert await socket.receive_nothing(timeout=0.5)  # a server raises when something is sent after the close
    assert not await Message.objects.aexists()


async def test_an_ended_session_is_out_with_its_next_message(open_socket: Talk, bob: Any) -> None:
    socket = await open_socket(bob, await room_of(bob))
    for session in [each async for each in Session.objects.all()]:
        if session.get_decoded().get(SESSION_KEY) == str(bob.pk):
            await session.adelete()
    await socket.say(action="send", text="Still here?", model=AT_ONCE)
    assert await socket.closed_with() == consumers.SIGNED_OUT


async def test_a_room_deleted_meanwhile_is_not_found(open_socket: Talk, bob: Any) -> None:
    room = await room_of(bob)
    socket = await open_socket(bob, room)
    await Room.objects.filter(pk=room.pk).aupdate(deleted_at=timezone.now())
    await socket.say(action="send", text="Still here?", model=AT_ONCE)
    assert await socket.closed_with() == consumers.NOT_FOUND


def test_every_action_declares_what_it_needs() -> None:
    for name, declaration in consumers.ACTIONS.items():
        assert declared_actions()[f"socket:{name}"] == declaration
        assert declaration.action
        assert callable(getattr(consumers.RoomConsumer, f"_{name}"))


# -- asking and answering ---------------------------------------------------------------


async def test_a_question_is_answered(here: Runs, open_socket: Talk, bob: Any) -> None:
    room = await room_of(bob)
    socket = await open_socket(bob, room)
    await socket.say(action="send", text="Write <b>two</b> paragraphs", model=AT_ONCE, draft_id="d1")
    told = [await socket.hear("sent", "start"), await socket.hear("sent", "start")]
    sent, start = sorted(told, key=lambda each: each["type"])
    assert sent["draft_id"] == "d1"
    assert sent["run"] == start["run"]
    assert (start["target"], start["swap"], start["after"]) == ("#turns", "beforeend", None)
    assert "Write &lt;b&gt;two&lt;/b&gt; paragraphs" in start["content"]
    assert start["say"] == "Answer started"
    text, seqs, html = "", [start["seq"]], ""
    while True:
        frame = await socket.hear("delta", "block", "stats", "done")
        if frame["type"] == "done":
            break
        seqs.append(frame["seq"])
        if frame["type"] == "delta":
            text += frame["text"]
        if frame["type"] == "block":
            html = frame["html"]
    assert seqs == sorted(set(seqs))
    run = await Run.objects.select_related("message").aget(pk=start["run"])
    assert text == await text_after(run.pk, start["seq"])
    assert frame["target"] == f"#m-{run.message_id}"
    assert html in frame["content"]
    assert "free" in frame["content"]
    assert frame["say"].startswith("Answer finished, ")


async def test_a_failure_arrives_as_an_error_with_a_way_on(open_socket: Talk, bob: Any) -> None:
    socket = await open_socket(bob, await room_of(bob))
    await socket.say(action="send", text="Hello", model="demo:custom?ttft=0&tps=0&fault=500")
    told = await socket.hear("error")
    assert "Try again" in told["content"]
    assert told["say"] == "The provider failed. Try again, or choose another model."


async def test_the_same_draft_sent_again_is_the_same_question(here: Runs, open_socket: Talk, bob: Any) -> None:
    room = await room_of(bob)
    socket = await open_socket(bob, room)
    runs = set()
    for _ in range(2):
        await socket.say(action="send", text="Hello", model=AT_ONCE, draft_id="d1")
        runs.add((await socket.hear("sent"))["run"])
    assert len(runs) == 1
    assert await Run.objects.acount() == 1


async def test_every_tab_of_the_room_hears_it(here: Runs, open_socket: Talk, bob: Any) -> None:
    room = await room_of(bob)
    one, other = await open_socket(bob, room), await open_socket(bob, room)
    await one.say(action="send", text="Hello", model=AT_ONCE)
    starts = [await each.hear("start") for each in (one, other)]
    run = starts[0]["run"]
    assert starts[1]["run"] == run
    for socket, start in zip((one, other), starts, strict=True):
        assert await text_from(socket, run) == await text_after(run, start["seq"])


async def test_stop_ends_it_for_every_tab(here: Runs, open_socket: Talk, bob: Any) -> None:
    room = await room_of(bob)
    one, other = await open_socket(bob, room), await open_socket(bob, room)
    await one.say(action="send", text="Hello", model=SLOWLY)
    run = (await one.hear("start"))["run"]
    await other.hear("start")
    await other.hear("delta")
    await one.say(action="stop", run=run)
    assert (await other.hear("stopping"))["run"] == run
    done = await other.hear("done")
    assert "Stopped" in done["content"]
    assert done["say"].startswith("Stopped after ")
    assert (await Run.objects.aget(pk=run)).status == Run.Status.STOPPED


async def test_a_run_of_another_room_cannot_be_stopped(here: Runs, open_socket: Talk, alice: Any, bob: Any) -> None:
    begun = await asked(here, bob, await room_of(bob), model=SLOWLY)
    socket = await open_socket(alice, await room_of(alice))
    await socket.say(action="stop", run=begun.run_id)
    assert (await socket.hear("refused"))["code"] == "no_message"
    assert begun.run_id in here.live


@pytest.mark.parametrize("action", ["edit", "regenerate"])
async def test_another_try_is_a_sibling(here: Runs, open_socket: Talk, bob: Any, action: str) -> None:
    room = await room_of(bob)
    answer = await sync_to_async(finished_answer)(room, "The first answer")
    message = answer.parent_id if action == "edit" else answer.pk
    socket = await open_socket(bob, room, last=answer.pk)
    await socket.say(action=action, message=message, text="Asked differently", model=AT_ONCE)
    start = await socket.hear("start")
    assert "2 of 2" in start["content"]
    assert start["after"] == (None if action == "edit" else answer.parent_id)
    assert ("Asked differently" in start["content"]) is (action == "edit")
    await text_from(socket, start["run"])
    new = await Message.objects.select_related("parent").aget(run=start["run"])
    assert new.parent is not None
    assert (new.parent.parent_id, new.parent_id == answer.parent_id) == (None, action == "regenerate")


# -- coming back ---------------------------------------------------------------------------


@pytest.mark.parametrize("heard", [0, 1, 5])
async def test_whoever_comes_back_goes_on_from_their_number(
    here: Runs, open_socket: Talk, bob: Any, heard: int
) -> None:
    room = await room_of(bob)
    first = await open_socket(bob, room)
    await first.say(action="send", text="Hello", model=AT_LENGTH)
    start = await first.hear("start")
    run, seq, text = start["run"], start["seq"], ""
    for _ in range(heard):
        told = await first.hear("delta")
        text, seq = text + told["text"], told["seq"]
    await first.disconnect()
    answer = await Message.objects.aget(run=run)
    second = await open_socket(bob, room, subscribed=False)
    await second.say(action="subscribe", runs={run: seq}, last=answer.pk)
    text += await text_from(second, run)
    assert text == await text_after(run, start["seq"])


async def test_what_began_while_nobody_listened_is_told(here: Runs, open_socket: Talk, bob: Any) -> None:
    room = await room_of(bob)
    before = await sync_to_async(finished_answer)(room, "Long ago")
    begun = await asked(here, bob, room, parent_id=before.pk, model=STEADILY)
    await written(here, begun)
    socket = await open_socket(bob, room, last=before.pk)
    start = await socket.hear("start")
    assert (start["run"], start["after"]) == (begun.run_id, before.pk)
    assert start["seq"] >= 3
    assert await text_from(socket, begun.run_id) == await text_after(begun.run_id, start["seq"])
    words = re.findall(r"[a-z]{3,}", await text_until(begun.run_id, start["seq"]))
    assert words
    assert [word for word in words if word not in start["content"]] == []


async def test_an_answer_that_was_over_before_it_was_told_has_an_end_too(
    here: Runs, open_socket: Talk, bob: Any
) -> None:
    room = await room_of(bob)
    begun = await asked(here, bob, room)
    await ended(here, begun)
    socket = await open_socket(bob, room)
    start = await socket.hear("start", "done")
    assert (start["type"], start["run"]) == ("start", begun.run_id)
    done = await socket.hear("start", "done")
    assert (done["type"], done["run"]) == ("done", begun.run_id)
    assert "Answer finished" in done["say"]


async def test_an_answer_that_ended_meanwhile_comes_whole(here: Runs, open_socket: Talk, bob: Any) -> None:
    room = await room_of(bob)
    begun = await asked(here, bob, room)
    await ended(here, begun)
    socket = await open_socket(bob, room, subscribed=False)
    await socket.say(action="subscribe", runs={begun.run_id: 2}, last=begun.message_id)
    told = await socket.hear("done", "delta", "start")
    assert told["type"] == "done"
    assert told["run"] == begun.run_id


async def test_runs_of_other_rooms_are_not_told(here: Runs, open_socket: Talk, alice: Any, bob: Any) -> None:
    begun = await asked(here, bob, await room_of(bob))
    await ended(here, begun)
    socket = await open_socket(alice, await room_of(alice), subscribed=False)
    await socket.say(action="subscribe", runs={begun.run_id: 0}, last=0)
    await socket.say(action="stop", run="run_none")
    assert (await socket.hear("done", "error", "start", "refused"))["type"] == "refused"


async def test_it_speaks_the_language_of_its_person(here: Runs, open_socket: Talk, bob: Any) -> None:
    await User.objects.filter(pk=bob.pk).aupdate(language="fr")
    socket = await open_socket(bob, await room_of(bob))
    await socket.say(action="send", text="Bonjour", model="demo:custom?ttft=0&tps=0&tokens=1200")
    told = await socket.hear("done")
    assert "1\xa0200" in told["content"]  # grouped as in French


# -- bounds ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        "not json",
        "[]",
        "{}",
        '{"action": "drop"}',
        '{"action": 7}',
        '{"action": "send", "text": 7}',
        '{"action": "send", "text": "x", "parent": "seven"}',
        '{"action": "edit", "text": "x"}',
        '{"action": "edit", "text": "x", "message": 1e400}',
        '{"action": "regenerate", "message": -1}',
        '{"action": "subscribe", "runs": 3}',
        "[" * 5000,
    ],
)
async def test_what_makes_no_sense_is_refused_and_the_socket_stays(open_socket: Talk, bob: Any, said: str) -> None:
    socket = await open_socket(bob, await room_of(bob))
    await socket.send_to(text_data=said)
    assert (await socket.hear("refused"))["code"] == "not_understood"
    await socket.say(action="send", text="Hello", model=AT_ONCE)
    await socket.hear("done")


async def test_half_a_character_does_no_harm(here: Runs, open_socket: Talk, bob: Any) -> None:
    socket = await open_socket(bob, await room_of(bob))
    await socket.send_to(text_data=json.dumps({"action": "send", "text": "a\ud800b\x00c", "model": AT_ONCE}))
    await socket.hear("done")
    assert (await Message.objects.aget(author="user")).text == "a?bc"


async def test_a_message_too_large_ends_the_socket(open_socket: Talk, bob: Any) -> None:
    socket = await open_socket(bob, await room_of(bob))
    await socket.say(action="send", text="x" * consumers.MESSAGE_BYTES)
    assert await socket.closed_with() == consumers.TOO_LARGE


async def test_bytes_end_the_socket(open_socket: Talk, bob: Any) -> None:
    socket = await open_socket(bob, await room_of(bob))
    await socket.send_to(bytes_data=b"{}")
    assert await socket.closed_with() == consumers.TOO_LARGE


async def test_too_many_messages_end_the_socket(open_socket: Talk, bob: Any) -> None:
    socket = await open_socket(bob, await room_of(bob))
    for _ in range(consumers.BURST + 40):
        await socket.say(action="stop", run="run_none")
    assert await socket.closed_with() == consumers.TOO_MANY


async def test_nothing_is_left_of_a_socket_that_went(here: Runs, open_socket: Talk, bob: Any) -> None:
    room = await room_of(bob)
    socket = await open_socket(bob, room)
    await socket.say(action="send", text="Hello", model=SLOWLY)
    run = (await socket.hear("start"))["run"]
    await socket.hear("delta")
    log = here.live[run].log
    assert log.listeners
    await socket.disconnect()
    assert not log.listeners
    assert here.audience == 0
    assert run in here.live  # the answer goes on

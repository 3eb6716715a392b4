"""What the tests of the playground share: models of chosen speed, and rooms to ask in."""

from __future__ import annotations

import asyncio
from typing import Any

from django.conf import settings as house_settings

from console.models import Message, Room, Run, User
from console.runs import Begun, Question, Runs

AT_ONCE = "demo:custom?ttft=0&tps=0&tokens=400"
SLOWLY = "demo:custom?ttft=0&tps=40&tokens=4000"  # a hundred seconds: no test waits for its end
STEADILY = "demo:custom?ttft=0&tps=400&tokens=240"  # long enough to do something meanwhile
AT_LENGTH = "demo:custom?ttft=0&tps=150&tokens=300"  # long enough to leave and come back on a slow machine
SECONDS = 10.0


async def room_of(person: Any, **fields: Any) -> Room:
    return await Room.objects.acreate(owner=person, **fields)


async def asked(here: Runs, person: Any, room: Room, text: str = "Hello there", **fields: Any) -> Begun:
    return await here.begin(person, Question(room.pk, text=text, **({"model": AT_ONCE} | fields)))


async def ended(here: Runs, begun: Begun) -> Run:
    """The run when it is over."""
    writing = here.live.get(begun.run_id)
    if writing is not None:
        await asyncio.wait_for(asyncio.shield(writing.task), SECONDS)
    return await Run.objects.select_related("message__room").aget(pk=begun.run_id)


async def written(here: Runs, begun: Begun, frames: int = 3) -> None:
    """Wait until the run has said something."""
    changed = asyncio.Event()
    log = await here.listen(begun.run_id, changed.set, 0)
    async with asyncio.timeout(SECONDS):
        while log.last < frames:
            changed.clear()
            await changed.wait()
    here.leave(begun.run_id, changed.set)


def session_of(client: Any) -> str:
    return str(client.cookies[house_settings.SESSION_COOKIE_NAME].value)


def finished_answer(room: Room, text: str, parent: Message | None = None, **run: Any) -> Message:
    """A question and its answer, as if it had been written a while ago."""
    question = Message.objects.create(room=room, parent=parent, author="user", sender=room.owner, text=f"Q: {text}")
    answer = Message.objects.create(room=room, parent=question, author="assistant", text=text)
    fields = {"status": "done", "asked_model": "demo:relay-1", "provider": "demo", "model": "relay-1", "node": "x"}
    Run.objects.create(id=f"run_{answer.pk:032x}", message=answer, **(fields | run))
    return answer


def person(name: str) -> User:
    return User.objects.get(name=name)

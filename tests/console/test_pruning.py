"""What has served its time goes, and nothing else."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from console import pruning
from console.claims import new_claim_code
from console.models import ClaimCode, Message, Room, Run, RunFrame
from routing.keys import create_key
from routing.models import KeyChange
from tests import factories

pytestmark = pytest.mark.django_db

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def run_that_ended(person: Any, ago: timedelta | None, frames: int) -> None:
    now = timezone.now()
    room = Room.objects.create(owner=person)
    message = Message.objects.create(room=room, author=Message.Author.ASSISTANT)
    run = Run.objects.create(
        id=f"run_{message.pk}", message=message, node="here", asked_model="demo:relay-1", ended_at=ago and now - ago
    )
    RunFrame.objects.bulk_create(RunFrame(run=run, seq=seq, payload={}) for seq in range(frames))


@pytest.mark.store
def test_frames_go_a_day_after_their_run_ended(alice: Any) -> None:
    run_that_ended(alice, None, 3)
    run_that_ended(alice, HOUR, 4)
    run_that_ended(alice, DAY + HOUR, 5)
    assert pruning.prune(timezone.now())["frames of runs"] == 5
    assert RunFrame.objects.count() == 7
    assert Run.objects.count() == 3


def test_they_go_in_batches(alice: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BATCH", 2)
    run_that_ended(alice, DAY + HOUR, 5)
    assert pruning.prune(timezone.now())["frames of runs"] == 5


def test_codes_and_key_changes_go(db: None) -> None:
    now = timezone.now()
    new_claim_code(now - 3 * DAY)
    create_key("old", team=factories.make_team())
    KeyChange.objects.update(at=now - 2 * DAY)
    create_key("new", team=factories.make_team("Another"))
    gone = pruning.prune(now)
    assert gone["claim codes"] == 1
    assert gone["key changes"] == 1
    assert KeyChange.objects.count() == 1
    new_claim_code(now)
    pruning.prune(now)
    assert ClaimCode.objects.count() == 1


def test_sessions_that_ended_go(signed_in: Any, alice: Any) -> None:
    from django.contrib.sessions.models import Session

    signed_in(alice)
    Session.objects.update(expire_date=timezone.now() - HOUR)
    pruning.prune(timezone.now())
    assert Session.objects.count() == 0


def test_beat_names_tasks_that_exist_and_expire() -> None:
    from console.celery import app

    app.loader.import_default_modules()
    for entry in app.conf.beat_schedule.values():
        assert entry["task"] in app.tasks
        assert entry["options"]["expires"] == entry["schedule"]

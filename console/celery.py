"""Background work: the Celery application and its timetable.

Without Redis the queue is a folder. A message there is lost when the worker is killed while it holds it, so a task only
does what the next tick would do again: nothing is asked for once and expected to arrive.
"""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")

MINUTE = 60.0

app = Celery("relayhouse")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["console"])


def every(seconds: float, task: str) -> dict[str, object]:
    """An entry that expires with its interval, so that nothing queues up behind a dead worker."""
    return {"task": f"console.tasks.{task}", "schedule": seconds, "options": {"expires": seconds}}


app.conf.beat_schedule = {
    "prune": every(30 * MINUTE, "prune"),
    "check the providers": every(30, "check_providers"),
    "reckon the hours": every(MINUTE, "reckon_hours"),
    "reckon late hours": every(60 * MINUTE, "reckon_late_hours"),
    "read the price lists": every(24 * 60 * MINUTE, "read_price_lists"),
    "price new models": every(5 * MINUTE, "price_new_models"),
    "look for servers of our own": every(4 * MINUTE, "look_for_servers"),
    "read the model lists of local servers": every(5 * MINUTE, "read_local_model_lists"),
}

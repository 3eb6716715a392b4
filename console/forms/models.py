"""A model name typed into a form: would it answer?"""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.utils import timezone

from billing.ids import new_request_id
from routing.asks import Ask
from routing.compiler import compile_snapshot
from routing.decisions import Live
from routing.engine import decide


def clean_default_model(typed: str) -> str:
    """Asks the decision itself, so that the form and the gateway cannot disagree."""
    typed = typed.strip()
    if not typed:
        return ""
    decision = decide(
        Ask(request_id=new_request_id(), model=typed, purpose="system"),
        compile_snapshot(),
        Live(),
        now=timezone.now(),
    )
    if decision.problem:
        raise ValidationError(decision.problem.message, code=decision.problem.code)
    return typed

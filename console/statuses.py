"""How a provider is doing, in the reader's language: the badge, and one sentence that says why."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.formats import moment
from console.verdicts import in_words
from providers.status import Cause, State, Status

LABELS: Mapping[State, str | Promise] = {
    State.HEALTHY: gettext_lazy("Healthy"),
    State.DEGRADED: gettext_lazy("Degraded"),
    State.DOWN: gettext_lazy("Failing"),
    State.OFF: gettext_lazy("Off"),
    State.INACTIVE: gettext_lazy("Inactive"),
    State.UNKNOWN: gettext_lazy("Not checked"),
}
TONES: Mapping[State, str] = {
    State.HEALTHY: "ok",
    State.DEGRADED: "warn",
    State.DOWN: "bad",
    State.INACTIVE: "warn",
    State.OFF: "",
    State.UNKNOWN: "",
}
# Why a check failed, from the code of its error.
FAULTS: Mapping[str, str | Promise] = {
    "upstream_auth": gettext_lazy("the key was refused"),
    "upstream_quota": gettext_lazy("the account has nothing left"),
    "rate_limit_exceeded": gettext_lazy("it was asked too often"),
    "upstream_unreachable": gettext_lazy("it could not be reached"),
    "upstream_tls": gettext_lazy("no secure connection could be made"),
    "target_blocked": gettext_lazy("its address is not allowed"),
    "upstream_timeout": gettext_lazy("it did not answer in time"),
    "upstream_stalled": gettext_lazy("it fell silent in its answer"),
    "deadline_exceeded": gettext_lazy("it did not answer in time"),
    "upstream_overloaded": gettext_lazy("it is overloaded"),
    "upstream_error": gettext_lazy("it reported a fault of its own"),
    "upstream_invalid_response": gettext_lazy("what it sent is no answer"),
    "upstream_stream_interrupted": gettext_lazy("it broke off"),
    "upstream_too_large": gettext_lazy("it sent too much"),
    "upstream_model_not_found": gettext_lazy("there is nothing at this address"),
}


def label(status: Status) -> str:
    return str(_("Circuit open") if status.cause is Cause.CIRCUITS_OPEN else LABELS[status.state])


def tone(status: Status) -> str:
    return TONES[status.state]


def sentence(status: Status) -> str:
    """Why it is so. Begins with a capital and ends without a full stop, as it stands in tables."""
    words = {"n": status.count, "of": status.of, "why": FAULTS.get(status.code, _("it could not answer"))}
    if status.at is not None:
        words["at"] = moment(status.at)
    match status.cause:
        case Cause.INACTIVE:
            return str(capfirst(in_words(status.detail).removesuffix(".")))
        case Cause.KEYS_REFUSED:
            told = ngettext("Its key is refused", "All its %(n)d keys are refused", status.count)
        case Cause.SOME_KEYS_REFUSED:
            told = ngettext("%(n)d of its %(of)d keys is refused", "%(n)d of its %(of)d keys are refused", status.count)
        case Cause.CHECKS_FAILED | Cause.CHECK_FAILED if status.count > 1:
            told = ngettext(
                "%(n)d check in a row failed: %(why)s", "%(n)d checks in a row failed: %(why)s", status.count
            )
        case Cause.CHECK_FAILED | Cause.CHECKS_FAILED:
            told = _("The last check failed: %(why)s")
        case Cause.CHECKS_FAIL_CALLS_ANSWERED:
            told = _("Its checks fail, calls are answered: %(why)s")
        case Cause.CIRCUITS_OPEN:
            told = ngettext("The circuit of %(n)d model is open", "The circuits of %(n)d models are open", status.count)
        case Cause.CALLS_FAIL:
            told = ngettext(
                "%(n)d of the last %(of)d calls failed", "%(n)d of the last %(of)d calls failed", status.count
            )
        case _:
            told = str(PLAIN[status.cause])
    return told % words


PLAIN: Mapping[Cause, str | Promise] = {
    Cause.SWITCHED_OFF: gettext_lazy("Somebody switched it off"),
    Cause.ADDRESS_ANSWERS: gettext_lazy("Its address answers; only a call tells whether the key is good"),
    Cause.KEY_ACCEPTED: gettext_lazy("The last check was answered"),
    Cause.CALLS_ANSWERED: gettext_lazy("Calls are answered"),
    Cause.STALE: gettext_lazy("Not checked since %(at)s: the background worker does not run"),
    Cause.NEVER_CHECKED: gettext_lazy("Not checked yet"),
}

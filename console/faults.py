"""What went wrong, in the reader's language, from the code that programs read."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from console.statuses import FAULTS

# Beside the faults of a provider: what the gateway itself refuses, and what the client got wrong.
REFUSALS: Mapping[str, str | Promise] = {
    "model_not_found": _("no such model is known here"),
    "model_not_allowed": _("this key may not use the model"),
    "invalid_model_string": _("the name of the model cannot be read"),
    "no_usable_provider": _("nobody who can answer is connected"),
    "no_default_model": _("no default model is set"),
    "invalid_request_error": _("the request was not understood"),
    "unknown_parameter": _("the request has a parameter that nobody knows"),
    "unsupported_parameter": _("the model does not take a parameter of the request"),
    "context_length_exceeded": _("the request is longer than the model can read"),
    "content_filter": _("the provider's content filter refused it"),
    "insufficient_quota": _("the budget has not enough left"),
    "budget_reserved": _("running requests hold the rest of the budget"),
    "tier_cap": _("it would cost more than its tier allows"),
    "feature_off": _("a flag switches this off"),
    "unsupported_model": _("no model that may be asked fits"),
    "unsupported_capability": _("no model that may be asked can do all of it"),
    "price_unknown": _("nobody knows the price, and the budget needs one"),
    "currency_mismatch": _("the price is in another currency than the budget"),
    "circuit_open": _("everybody who could answer is being left alone"),
    "data_policy": _("the data policy of the team forbids it"),
    "ledger_unavailable": _("costs could not be written down"),
    "server_restart": _("the server was restarted"),
    "cancelled": _("the client left"),
    "internal_error": _("the gateway failed"),
}


def why(code: str) -> str:
    """In the middle of a sentence. A code without words stands for itself."""
    words = FAULTS.get(code) or REFUSALS.get(code)
    return str(words) if words is not None else code.replace("_", " ")


def reason(code: str) -> str:
    """As a sentence of its own."""
    return str(capfirst(why(code)))

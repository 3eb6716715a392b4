"""What went wrong with a provider, and what to do about it, in the reader's language: from the code of the error.

What the provider said itself is kept beside it, in its own words.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext as _

from providers.errors import (
    BadCredentials,
    InvalidAnswer,
    ModelNotFound,
    Overloaded,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    TimedOut,
)
from providers.registry import Kind, Place


@dataclass(frozen=True, slots=True)
class Trouble:
    cause: str
    remedy: str
    key_is_fine: bool | None = None  # None: this says nothing about the key
    detail: str = ""  # the provider's own words


def trouble_of(error: ProviderError, kind: Kind, host: str) -> Trouble:
    """`host` is where the question went."""
    for judge in (_about_the_address, _about_the_key, _about_the_provider):
        found = judge(error, kind, host)
        if found is not None:
            return found
    return Trouble(_("%(kind)s could not do it") % {"kind": kind.name}, error.message)


def _about_the_address(error: ProviderError, kind: Kind, host: str) -> Trouble | None:
    where = {"host": host, "kind": kind.name}
    if error.reason == "target_blocked":
        return Trouble(_("This address is not allowed"), _blocked(error), None, error.message)
    if error.reason == "upstream_tls":
        remedy = _("Check the address. A certificate authority of your own is named in CA_BUNDLE.")
        return Trouble(_("No secure connection to %(host)s") % where, remedy, None, error.message)
    status = error.upstream_status or 0
    if isinstance(error, InvalidAnswer) and 300 <= status < 400:
        remedy = _("Redirects are not followed, since the key would follow too. Enter the address it leads to.")
        return Trouble(_("%(host)s sends elsewhere (%(status)s)") % {**where, "status": status}, remedy)
    if error.reason == "upstream_unreachable" or (isinstance(error, TimedOut) and not error.sent):
        return Trouble(_("No answer from %(host)s") % where, _unreached(error, kind), None, error.message)
    return None


def _blocked(error: ProviderError) -> str:
    if "needs https://" in error.message:
        return _("Over plain HTTP the key could be read on the way: write https://.")
    if "private address" in error.message:
        return _(
            "It lies in a private network. A server of your own has a kind of its own here; for another one, whoever "
            "runs this server can allow the network with PRIVATE_NETWORKS."
        )
    return _("Enter the address as the provider's documentation gives it.")


def _unreached(error: ProviderError, kind: Kind) -> str:
    if kind.place is Place.LOCAL:
        return _("Is %(kind)s running, and does this server reach it?") % {"kind": kind.name}
    if "{region}" in kind.base_url and "resolved" in error.message:
        return _("Check the region: there is no such address.")
    if "resolved" in error.message:
        return _("Check the address: its name is not known.")
    return _("Check the address, and whether this server may reach the internet.")


def _about_the_key(error: ProviderError, kind: Kind, host: str) -> Trouble | None:
    status = error.upstream_status
    words = {"kind": kind.name, "status": status}
    if isinstance(error, BadCredentials):
        cause = _("%(kind)s refused this key (%(status)s)") if status else _("This key cannot be used")
        remedy = _("Check that it belongs to this project and region, and has not been revoked.")
        return Trouble(cause % words, remedy, False, error.message)
    if isinstance(error, QuotaExhausted):
        remedy = _("The key is fine. Top up the account or raise its limit; another key of it will not help.")
        return Trouble(_("The account at %(kind)s has nothing left") % words, remedy, True, error.message)
    if isinstance(error, RateLimited):
        remedy = _("The key is fine, so rotating it will not help. Try again in a moment.")
        return Trouble(_("%(kind)s was asked too often") % words, remedy, True, error.message)
    return None


def _about_the_provider(error: ProviderError, kind: Kind, host: str) -> Trouble | None:
    words = {"kind": kind.name, "host": host, "status": error.upstream_status}
    if isinstance(error, ModelNotFound):
        cause = _("Nothing is found there (%(status)s)") if error.upstream_status else _("The model is not known there")
        return Trouble(
            cause % words, _("Check the address with its path, the region and the model."), None, error.message
        )
    if isinstance(error, Overloaded):
        remedy = _("The key is fine. %(kind)s itself has the trouble, so rotating the key will not help.") % words
        return Trouble(_("%(kind)s is over capacity or failing") % words, remedy, True, error.message)
    if isinstance(error, TimedOut):
        remedy = _("It accepted the connection and stayed silent. Try again, or raise the time limits.")
        return Trouble(_("%(host)s did not answer in time") % words, remedy, None, error.message)
    if isinstance(error, InvalidAnswer):
        remedy = _("Check that the address is that of an API, with its whole path.")
        return Trouble(_("%(host)s answers, but not as a model server does") % words, remedy, None, error.message)
    return None

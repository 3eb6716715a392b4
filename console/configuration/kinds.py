"""Which kind of provider a word means, and whether an address suits it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from console.configuration.fields import Reader, fold
from console.configuration.values import UNSET
from providers.addresses import Network, read_url
from providers.errors import ProviderError
from providers.registry import KINDS, Kind, Place

ALSO_CALLED = {
    "awsbedrock": "bedrock",
    "azure": "azure-openai",
    "dashscope": "qwen",
    "glm": "zhipu",
    "grok": "xai",
    "kimi": "moonshot",
    "mistralai": "mistral",
    "ovhcloud": "ovh",
}
_BY_FOLD = (
    {fold(kind.name): kind for kind in KINDS.values()}
    | {word: KINDS[slug] for word, slug in ALSO_CALLED.items() if slug in KINDS}
    | {fold(slug): kind for slug, kind in KINDS.items()}
)


def kind_named(word: str) -> Kind | None:
    """By its slug, its name or what else people call it, without case, hyphens and spaces."""
    return _BY_FOLD.get(fold(word))


def clean_address(read: Reader, key: str, address: Any, kind: Kind | None, networks: tuple[Network, ...]) -> Any:
    """The address as it is kept, or UNSET with the fault told. What the gateway would not dial is no address."""
    if address is UNSET or not address or "${" in address:
        return address  # one that waits for a variable is judged when the variable is set
    parts = urlsplit(address)
    if parts.query or parts.fragment:
        read.fault(key, "has a query or a fragment in it: give what the kind needs as `options`.")
        return UNSET
    try:
        _, policy = read_url(address, kind.place if kind else Place.LOCAL, networks)
    except ProviderError as error:
        read.fault(key, error.message)
        return UNSET
    if kind is not None and not (policy.near or policy.public or policy.allowed):
        read.fault(key, f"{kind.name} is reached over the internet: write https:// (PRIVATE_NETWORKS allows others).")
        return UNSET
    return address.rstrip("/")

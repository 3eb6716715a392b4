"""The slug of a provider: given, or made from its name as the site makes it."""

from __future__ import annotations

import re
from typing import Any

from django.utils.text import slugify

from console.configuration.fields import Reader
from console.configuration.values import UNSET

SLUG = re.compile(r"[a-z0-9_-]+")
RESERVED = "auto"  # a name that the gateway reads before any other


def slug_of(name: str) -> str:
    return slugify(name)[:70]


def read_slug(read: Reader, name: Any) -> Any:
    slug = read.text("slug", 80)
    which = "slug" if slug is not UNSET else "name"
    if slug is not UNSET:
        slug = slug.lower()
        if not SLUG.fullmatch(slug):
            read.fault("slug", "is made of a-z, 0-9, hyphens and underscores.")
            return UNSET
    elif name is UNSET:
        return UNSET
    else:
        slug = slug_of(name)
        if not slug:
            read.fault("name", f"'{name}' has no letter from a to z and no digit: give a `slug` too.")
            return UNSET
    if slug == RESERVED:
        read.fault(which, "'auto' means the default model everywhere: take another.")
        return UNSET
    return slug

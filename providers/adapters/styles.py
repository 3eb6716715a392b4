"""Which of a vendor's ways to be addressed a target means: by the option `style`, else by how its address ends."""

from __future__ import annotations

import re

import msgspec

from providers.wiring import Target


def in_style(target: Target) -> Target:
    """The target under the row of its style, with what was copied along cut off the address."""
    kind = target.kind
    if not (kind.styles or kind.cuts):
        return target
    base = target.base_url.rstrip("/")
    named = target.options.get("style")
    if named:
        row = kind.styles.get(str(named), kind)
    else:
        row = next((row for row in kind.styles.values() if row.root and base.endswith(row.root)), kind)
    return msgspec.structs.replace(target, kind=row, base_url=re.sub(kind.cuts, "", base) if kind.cuts else base)

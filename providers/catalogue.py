"""What do vendors publish of their models? Windows, abilities, prices, and what a model does with parameters.

`catalogue.json` is read once, when it is first asked for. A price or a date in it is a fact of the day it was written:
it seeds rows, and rows are what decisions read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

Entry = Mapping[str, Any]

FILE = Path(__file__).with_name("catalogue.json")

# What stands around a model's own name at one vendor or another.
_REGION = re.compile(r"^(us|eu|apac|global|jp|au|ca|us-gov)\.")
_VENDOR = re.compile(r"^(anthropic|amazon|meta|mistral|cohere|deepseek|qwen|openai|google|moonshotai|zai|xai)\.")
_VERSION = re.compile(r"-v\d+(:\d+)?$")
_DATE = re.compile(r"[-@](20\d{2}-?\d{2}-?\d{2})$")


@cache
def _kinds() -> Mapping[str, Mapping[str, Entry]]:
    """By slug of the kind, then by every name a model has there, in lower case."""
    found: dict[str, dict[str, Entry]] = {}
    for kind in json.loads(FILE.read_text("utf-8"))["kinds"]:
        models: dict[str, Entry] = found.setdefault(kind["kind"], {})
        for model in kind["models"]:
            entry = {**model, "batch": kind.get("batch")}
            for name in (model["id"], *model.get("aliases", ())):
                models.setdefault(name.lower(), entry)
    return found


def find(kind: str, model_id: str) -> Entry | None:
    """What is published of this model at this vendor; None when nothing is."""
    models = _kinds().get(kind)
    if models is None:
        return None
    name = model_id.lower().removeprefix("models/")
    for candidate in (name, _REGION.sub("", name), _undated(name), _undated(_REGION.sub("", name))):
        if candidate in models:
            return models[candidate]
    return None


def canonical(model_id: str) -> str:
    """A name for the same model wherever it is served: without vendor, region, version and date."""
    name = model_id.lower().removeprefix("models/").rpartition("/")[2]
    name = _VENDOR.sub("", _REGION.sub("", name))
    name = _VERSION.sub("", name)
    head, colon, _ = name.partition(":")
    return _undated(head if colon and "/" in model_id else name)[:200]


def _undated(name: str) -> str:
    return _DATE.sub("", name)

"""The `/v1` operations do what their description says, whatever is sent: fuzzed from the document itself."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from billing.models import Organisation
from routing.openapi import with_gateway
from tests.routing.gate import Gate

DOCUMENT: dict[str, Any] = with_gateway(
    {"openapi": "3.1.0", "info": {"title": "gateway", "version": "1"}, "paths": {}, "components": {}}
)
schema = schemathesis.openapi.from_dict(DOCUMENT)

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def default(gate: Gate) -> str:
    """So that a request which names no model is answered."""
    house = Organisation.get()
    house.default_model = "a:ok"
    house.save()
    gate.refresh()
    return house.default_model


@schema.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
def test_operations(gate: Gate, default: str, case: schemathesis.Case) -> None:
    case.call_and_validate(base_url=gate.url, headers=gate.headers, checks=CHECKS)


def test_nothing_is_left(gate: Gate) -> None:
    gate.at_rest()


def test_every_operation_is_described(gate: Gate) -> None:
    described = {
        (path.replace("{name}", "x"), method.upper())
        for path in DOCUMENT["paths"]
        for method in DOCUMENT["paths"][path]
    }
    served = {(path, method) for path, methods in gate._edge._routes.items() for method in methods if method != "HEAD"}
    assert served | {("/v1/models/x", "GET")} == described

"""A line of the log has what helps and nothing that a client sent."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from console.logs import Line


def line(message: str, *words: object, error: BaseException | None = None, **fields: Any) -> str:
    record = logging.LogRecord("routing.edge", logging.ERROR, __file__, 1, message, words, None)
    if error is not None:
        record.exc_info = (type(error), error, error.__traceback__)
    for name, value in fields.items():
        setattr(record, name, value)
    return Line().format(record)


def test_an_event_is_one_line() -> None:
    assert "\n" not in line("first\nsecond %s", "third\nfourth")


def test_it_says_when_how_bad_where_and_what() -> None:
    text = line("the worker cannot start")
    assert text.startswith("at=2")
    assert ' level=error from=routing.edge event="the worker cannot start"' in text


def test_only_known_fields_are_written() -> None:
    text = line(
        "request failed", request_id="req_1", body="test-key-secret", headers={"authorization": "test-key-secret"}
    )
    assert "request_id=req_1" in text
    assert "test-key-secret" not in text


def test_the_words_of_a_strange_error_stay_out() -> None:
    try:
        raise ValueError("upstream said test-key-secret")
    except ValueError as error:
        text = line("request failed", error=error)
    assert "error=ValueError" in text
    assert "tests/console/test_logs.py" in text
    assert "test-key-secret" not in text


@pytest.mark.parametrize("error", [FileNotFoundError(2, "No such file or directory", "/var/x"), ImportError("no x")])
def test_errors_of_this_machine_speak(error: Exception) -> None:
    assert "words=" in line("it failed", error=error)

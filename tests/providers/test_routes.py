"""Where a request goes by its address, and the bytes its head is made of."""

from __future__ import annotations

import pytest

from providers.addresses import parse_networks
from providers.errors import BadRequest, Unreachable
from providers.registry import KINDS, Place
from providers.routes import head_of, route_to
from providers.wiring import HttpRequest


def request(headers: dict[str, str] | None = None, method: str = "POST", body: bytes = b"{}") -> HttpRequest:
    return HttpRequest(method, "https://vendor.example/v1/x", headers or {}, body, KINDS["custom"])


@pytest.mark.parametrize(
    ("address", "where", "line"),
    [
        ("https://vendor.example/v1", ("vendor.example", 443, True), " /v1 HTTP/1.1\r\nhost: vendor.example\r\n"),
        ("https://vendor.example", ("vendor.example", 443, True), " / HTTP/1.1\r\nhost: vendor.example\r\n"),
        ("https://v.example:443/a", ("v.example", 443, True), " /a HTTP/1.1\r\nhost: v.example\r\n"),
        ("https://v.example:8443/a", ("v.example", 8443, True), " /a HTTP/1.1\r\nhost: v.example:8443\r\n"),
        ("http://v.example/a?b=c%20d&e", ("v.example", 80, False), " /a?b=c%20d&e HTTP/1.1\r\nhost: v.example\r\n"),
        ("http://v.example./a#part", ("v.example", 80, False), " /a HTTP/1.1\r\nhost: v.example\r\n"),
        ("http://[::1]:9/ü", ("::1", 9, False), " /%C3%BC HTTP/1.1\r\nhost: [::1]:9\r\n"),
        ("http://bü.example/", ("xn--b-eha.example", 80, False), " / HTTP/1.1\r\nhost: xn--b-eha.example\r\n"),
        ("http://v.example/a\r\nx: y", ("v.example", 80, False), " /ax:%20y HTTP/1.1\r\nhost: v.example\r\n"),
    ],
)  # fmt: skip
def test_an_address_and_the_line_it_becomes(address: str, where: tuple[str, int, bool], line: str) -> None:
    route = route_to(address, Place.LOCAL, ())
    assert (route.where, route.line) == (where, line)


def test_an_address_that_is_not_allowed_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(Unreachable) as caught:
        route_to("http://127.0.0.1/v1", Place.CLOUD, ())
    assert (caught.value.reason, caught.value.sent) == ("target_blocked", False)
    route = route_to("http://127.0.0.1/v1", Place.CLOUD, parse_networks(["127.0.0.0/8"]))
    assert route.policy.allowed


def head(asked: HttpRequest, *, keep: bool = True) -> list[str]:
    return head_of(asked, route_to(asked.url, Place.CLOUD, ()), keep=keep).decode().split("\r\n")


def test_what_every_request_carries() -> None:
    assert head(request({"content-type": "application/json"})) == [
        "POST /v1/x HTTP/1.1", "host: vendor.example", "content-type: application/json", "user-agent: relayhouse",
        "accept: */*", "accept-encoding: identity", "content-length: 2", "", "",
    ]  # fmt: skip


def test_what_a_request_says_itself_counts() -> None:
    lines = head(request({"Accept": "text/event-stream", "User-Agent": "other"}))
    assert [line for line in lines if line.lower().startswith(("accept:", "user-agent:"))] == [
        "Accept: text/event-stream", "User-Agent: other",
    ]  # fmt: skip


def test_a_length_only_where_there_may_be_a_body() -> None:
    assert "content-length: 0" in head(request(body=b""))
    assert not [line for line in head(request(method="GET", body=b"")) if line.startswith("content-length")]


def test_a_connection_that_is_not_to_stay_is_told_so() -> None:
    assert "connection: close" in head(request(), keep=False)
    assert "connection: close" not in head(request())


@pytest.mark.parametrize("value", ["a\r\nx-more: 1", "a\nx-more: 1", "a\rb", "a\0b", "a\r\n"])
def test_no_header_brings_a_line_of_its_own(value: str) -> None:
    for headers in ({"x-one": value}, {f"x-{value}": "one"}):
        with pytest.raises(BadRequest) as caught:
            head(request(headers))
        assert not caught.value.sent
        assert value not in str(caught.value)

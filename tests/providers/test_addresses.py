"""Which addresses may be dialled, by every kind and in every spelling."""

from __future__ import annotations

import pytest

from providers.addresses import judge, parse_networks, policy_for, read_url
from providers.errors import Unreachable
from providers.registry import Place

NONE = ()
CLOUD = policy_for(Place.CLOUD, "https", NONE)
PLAIN = policy_for(Place.CLOUD, "http", NONE)
LOCAL = policy_for(Place.LOCAL, "http", NONE)
OFFICE = policy_for(Place.CLOUD, "http", parse_networks(["10.1.0.0/16", "fd12:3456::/32"]))

PUBLIC = ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "64:ff9b::808:808", "2002:808:808::1", "::ffff:8.8.8.8"]
NEAR = [
    "127.0.0.1", "127.9.9.9", "::1", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "fd00::1",
    "fc00::1", "198.18.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1",
    "2002:7f00:1::1", "2002:a00:1::", "::127.0.0.1", "::5efe:10.0.0.1", "fec0::1",
]  # fmt: skip
NEVER = [
    "0.0.0.0", "0.1.2.3", "169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192",
    "224.0.0.1", "255.255.255.255", "240.0.0.1", "::", "fe80::1", "fe80::1%eth0", "ff02::1", "fd00:ec2::254",
    "fd20:ce::254", "2001:db8::1", "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1", "::169.254.169.254", "64:ff9b:1::a9fe:a9fe", "2001:0:a9fe:a9fe::1", "192.0.2.1",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_over_https_are_for_all(address: str) -> None:
    assert judge(address, CLOUD) == ""
    assert judge(address, LOCAL) == ""
    assert judge(address, PLAIN) != ""


@pytest.mark.parametrize("address", NEAR)
def test_near_addresses_are_for_servers_of_our_own(address: str) -> None:
    assert judge(address, LOCAL) == ""
    assert judge(address, CLOUD) != ""
    assert judge(address, PLAIN) != ""


@pytest.mark.parametrize("address", NEVER)
def test_some_addresses_are_for_nobody(address: str) -> None:
    everything = policy_for(Place.CLOUD, "https", parse_networks(["0.0.0.0/0", "::/0"]))
    for policy in (CLOUD, LOCAL, PLAIN, everything):
        assert judge(address, policy) != ""


def test_networks_of_the_settings_open_what_they_name() -> None:
    assert judge("10.1.2.3", OFFICE) == ""
    assert judge("fd12:3456::7", OFFICE) == ""
    assert judge("10.2.0.1", OFFICE) != ""
    assert judge("8.8.8.8", OFFICE) != ""  # in plain text over the street


@pytest.mark.parametrize("address", ["localhost", "", "1.2.3", "::g"])
def test_what_is_no_address_is_refused(address: str) -> None:
    assert judge(address, LOCAL) != ""


@pytest.mark.parametrize(
    "host",
    [
        "2130706433", "0x7f000001", "0x7f.1", "127.1", "0177.0.0.1", "127.0.0.1.", "017700000001", "1", "0x7f.0.0.0x1",
        "00000177.1", "[::ffff:7f00:1]", "[::1]", "169.254.169.254", "[fe80::1%25lo]", "127.0.0.1",
    ],
)  # fmt: skip
def test_odd_spellings_do_not_get_around_it(host: str) -> None:
    with pytest.raises(Unreachable) as caught:
        read_url(f"https://{host}/v1", Place.CLOUD, NONE)
    assert (caught.value.reason, caught.value.sent) == ("target_blocked", False)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://vendor.example/v1", "file:///etc/passwd", "vendor.example/v1", "https:///v1", "", "https://a:b@c.example",
        "https://key@vendor.example/v1", "http://[::1", "https://vendor.example:99999/", "gopher://x", "javascript:1",
    ],
)  # fmt: skip
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(Unreachable) as caught:
        read_url(url, Place.LOCAL, NONE)
    assert caught.value.reason == "target_blocked"


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://api.vendor.example/v1", Place.CLOUD),
        ("http://localhost:11434", Place.LOCAL),
        ("http://127.0.0.1:8000/v1", Place.LOCAL),
        ("http://[::1]:8000/v1", Place.LOCAL),
        ("https://8.8.8.8/v1", Place.CLOUD),
        ("https://éclair.example/v1", Place.CLOUD),
    ],
)
def test_addresses_as_people_write_them(url: str, place: Place) -> None:
    assert read_url(url, place, NONE)[0].host


def test_names_are_judged_when_they_are_resolved() -> None:
    _, policy = read_url("https://inside.example/v1", Place.CLOUD, NONE)
    assert policy == CLOUD

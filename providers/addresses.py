"""Which addresses may be dialled. Whoever may type an address must not reach what only this server can reach.

The lists are our own: what a library calls private changes between versions, and clouds put their metadata on
addresses that look public. Names are judged by every address they resolve to, and the connection goes to those.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from yarl import URL

from providers.errors import Unreachable
from providers.registry import Place

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def _networks(text: str) -> tuple[Network, ...]:
    return tuple(ip_network(word) for word in text.split())


# Nobody may ever be sent there, whatever the settings say.
_NEVER = _networks(
    """
    0.0.0.0/8 169.254.0.0/16 192.0.0.0/24 192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4
    100.100.100.200/32 168.63.129.16/32
    ::/128 fe80::/10 ff00::/8 2001:db8::/32 100::/64 64:ff9b:1::/48 2001::/32
    fd00:ec2::254/128 fd20:ce::254/128 fd00:42::42/128
    """
)
# Machines near this one: servers of our own, or networks the settings allow.
_NEAR = _networks(
    """
    127.0.0.0/8 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 198.18.0.0/15 192.88.99.0/24
    ::1/128 fc00::/7 fec0::/10
    """
)
_MAPPED, _COMPATIBLE, _TRANSLATED, _SIX_TO_FOUR = _networks("::ffff:0:0/96 ::/96 64:ff9b::/96 2002::/16")

# Written as it goes out, with something in it that is percent-encoded.
_ENCODED = re.compile(r"(?=.*%)https?://[a-z0-9.:-]+/(?:[\w.~!$&'()*+,;=:@/?-]|%[0-9A-F]{2})*", re.ASCII)

# How a number may stand for an address in some resolvers: 2130706433, 0x7f.1, 127.1, 0177.0.0.1.
_NUMBER = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)(?:\.(?:0x[0-9a-f]*|[0-9]+)){0,3}\.?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Policy:
    """What a kind of provider may reach. One pool of connections belongs to each."""

    near: bool  # loopback and private addresses
    public: bool  # all that are neither near nor forbidden
    allowed: tuple[Network, ...] = ()  # near networks that are allowed by name


def policy_for(place: Place, scheme: str, allowed: tuple[Network, ...]) -> Policy:
    """Plain HTTP leaves the house only for servers of our own; a cloud kind may use it inside allowed networks."""
    if place is Place.LOCAL:
        return Policy(near=True, public=True)
    return Policy(near=False, public=scheme == "https", allowed=allowed)


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    return tuple(ip_network(text.strip(), strict=False) for text in texts if text.strip())


def judge(address: str, policy: Policy) -> str:
    """Why this address may not be dialled, in words; empty when it may."""
    try:
        # A scope (`fe80::1%eth0`) names an interface, not another address.
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return f"'{address}' is no address"
    for one in (found, *_embedded(found)):
        reason = _judge_one(one, policy)
        if reason:
            return reason
    return ""


def _judge_one(address: Address, policy: Policy) -> str:
    if _within(address, _NEVER):
        return f"{address} is reserved or belongs to the machine's own cloud"
    if _within(address, _NEAR):
        if policy.near or _within(address, policy.allowed):
            return ""
        return f"{address} is a private address (PRIVATE_NETWORKS can allow it)"
    if policy.public or _within(address, policy.allowed):
        return ""
    return f"{address} is a public address, which needs https://"


def _within(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks if network.version == address.version)


def _embedded(address: Address) -> tuple[IPv4Address, ...]:
    """The IPv4 address that an IPv6 address stands for, in any of the ways there are."""
    if isinstance(address, IPv4Address):
        return ()
    number = int(address)
    if address in _MAPPED or address in _TRANSLATED:
        return (IPv4Address(number & 0xFFFFFFFF),)
    if address in _COMPATIBLE and number > 1:
        return (IPv4Address(number & 0xFFFFFFFF),)
    if address in _SIX_TO_FOUR:
        return (IPv4Address(number >> 80 & 0xFFFFFFFF),)
    if (number >> 32) & 0xFDFFFFFF == 0x5EFE:  # ISATAP
        return (IPv4Address(number & 0xFFFFFFFF),)
    return ()


def blocked(reason: str) -> Unreachable:
    return Unreachable(f"This address is not allowed: {reason}.", code="target_blocked", sent=False)


@lru_cache(maxsize=1024)
def read_url(text: str, place: Place, allowed: tuple[Network, ...]) -> tuple[URL, Policy]:
    """The address as a whole, and what it may reach. Raises what is wrong with it, before anything is sent.

    What is percent-encoded already goes out as it is written: a signature may stand for exactly these bytes.
    """
    try:
        url = URL(text, encoded=_ENCODED.fullmatch(text) is not None)
        host, _ = url.raw_host or "", url.port  # one that is no number is noticed when it is asked for
    except ValueError:
        raise blocked("it cannot be read") from None
    if url.scheme not in ("http", "https") or not host:
        raise blocked("it must begin with https:// or http:// and name a host")
    if url.user or url.password:
        raise blocked("it must not hold a user name or a password")
    policy = policy_for(place, url.scheme, allowed)
    if ":" in host or _NUMBER.fullmatch(host):
        try:
            plain = str(ip_address(host.partition("%")[0]))
        except ValueError:
            raise blocked(f"'{host}' is an unusual way to write an address") from None
        reason = judge(plain, policy)
        if reason:
            raise blocked(reason)
    return url, policy

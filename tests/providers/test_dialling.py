"""Getting a connection, or rightly none: refusals, certificates, and names that lead where they should not."""

from __future__ import annotations

import asyncio
import socket
import threading
import time

import pytest

from providers.addresses import parse_networks
from providers.connector import Connector
from providers.doors import system_lookup
from providers.errors import Unreachable
from tests.certificates import authority
from tests.providers.talk import failure, plain, target, tight
from tests.upstream import Upstream, accepting_only, refusing_url

TEXT = "Hello from upstream."
HERE = parse_networks(["127.0.0.0/8"])


async def test_f01_refused(connector: Connector) -> None:
    began = time.monotonic()
    error = await failure(connector, "ok", refusing_url(), stream=False)
    assert (type(error), error.reason, error.sent) == (Unreachable, "upstream_unreachable", False)
    assert time.monotonic() - began < 0.5


@pytest.mark.parametrize("fault", ["expired", "wrong-host", "self-signed"])
async def test_f25_certificates_that_are_not_accepted(fault: str) -> None:
    connector = Connector(ca_bundle=str(authority().ca_file))
    await connector.start()
    with Upstream(tls=fault) as upstream:
        error = await failure(connector, "ok", upstream.base_url, stream=True)
        assert (error.reason, error.sent, error.status) == ("upstream_tls", False, 502)
        assert not upstream.requests
    await connector.close()


async def test_f25_a_certificate_of_a_further_authority_is_accepted() -> None:
    with Upstream(tls="good") as upstream:
        strict, trusting = Connector(), Connector(ca_bundle=str(authority().ca_file))
        await strict.start()
        await trusting.start()
        assert (await failure(strict, "ok", upstream.base_url, stream=False)).reason == "upstream_tls"
        assert (await plain(trusting, target("ok", upstream.base_url))).text == TEXT
        await strict.close()
        await trusting.close()


async def test_a_bundle_that_cannot_be_read_stops_nobody(upstream: Upstream, caplog: pytest.LogCaptureFixture) -> None:
    connector = Connector(ca_bundle="/nowhere/ca.pem")
    await connector.start()
    assert (await plain(connector, target("ok", upstream.base_url))).text == TEXT
    assert "/nowhere/ca.pem cannot be read" in caplog.text
    await connector.close()


async def test_f25_plaintext_where_tls_belongs(connector: Connector, upstream: Upstream) -> None:
    address = upstream.base_url.replace("http:", "https:")
    error = await failure(connector, "ok", address, stream=False)
    assert (error.reason, error.sent) == ("upstream_tls", False)


async def test_f25_tls_that_never_comes(connector: Connector) -> None:
    async with accepting_only() as port:
        error = await failure(connector, "ok", f"https://127.0.0.1:{port}/v1", stream=False, within=tight())
    assert (error.reason, error.status, error.sent) == ("upstream_tls", 502, False)


def resolving(*addresses: str) -> Connector:
    async def lookup(host: str, port: int) -> list[tuple[int, str]]:
        return [(socket.AF_INET6 if ":" in one else socket.AF_INET, one) for one in addresses]

    return Connector(lookup=lookup)


async def test_f26_a_name_without_address() -> None:
    async def lookup(host: str, port: int) -> list[tuple[int, str]]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    for connector in (resolving(), Connector(lookup=lookup)):
        await connector.start()
        error = await failure(connector, "ok", "https://vendor.example/v1", stream=False)
        assert (error.reason, error.sent) == ("upstream_unreachable", False)
        await connector.close()


async def test_f26_names_and_other_work_do_not_wait_for_each_other() -> None:
    """As when a name server is silent: nothing else of the process may hang on the threads that wait for it."""
    loop, done = asyncio.get_running_loop(), threading.Event()
    work = [loop.run_in_executor(None, done.wait) for _ in range(64)]
    try:
        found = await asyncio.wait_for(system_lookup("localhost", 80), 1.0)
    finally:
        done.set()
        await asyncio.gather(*work)
    assert "127.0.0.1" in [address for _, address in found]


async def test_f26_a_slow_name() -> None:
    async def lookup(host: str, port: int) -> list[tuple[int, str]]:
        await asyncio.sleep(60)
        return []

    connector = Connector(lookup=lookup)
    await connector.start()
    began = time.monotonic()
    error = await failure(connector, "ok", "https://vendor.example/v1", stream=False, within=tight())
    assert not error.sent
    assert time.monotonic() - began < 0.9
    await connector.close()


@pytest.mark.parametrize(
    "addresses", [("127.0.0.1",), ("10.0.0.7",), ("::1",), ("93.184.216.34", "10.0.0.7"), ("169.254.169.254",)]
)
async def test_f26_a_public_name_that_leads_inside(upstream: Upstream, addresses: tuple[str, ...]) -> None:
    connector = resolving(*addresses)
    await connector.start()
    to = target("ok", f"https://vendor.example:{upstream.port}/v1", kind="custom")
    before = upstream.connections
    with pytest.raises(Unreachable) as caught:
        await plain(connector, to)
    assert (caught.value.reason, caught.value.sent) == ("target_blocked", False)
    assert upstream.connections == before
    await connector.close()


async def test_f26_rebinding_between_two_calls(upstream: Upstream) -> None:
    """The name is judged every time it is resolved, and a pooled connection of one rule never serves another."""
    connector = resolving("127.0.0.1")
    await connector.start()
    address = f"http://vendor.example:{upstream.port}/v1"
    assert (await plain(connector, target("ok", address, kind="vllm"))).text == TEXT
    with pytest.raises(Unreachable) as caught:
        await plain(connector, target("ok", address, kind="custom"))
    assert caught.value.reason == "target_blocked"
    await connector.close()


async def test_a_cloud_kind_may_use_networks_the_settings_allow(upstream: Upstream) -> None:
    connector = Connector(private_networks=HERE)
    await connector.start()
    assert (await plain(connector, target("ok", upstream.base_url, kind="custom"))).text == TEXT
    await connector.close()

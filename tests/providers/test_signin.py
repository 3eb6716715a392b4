"""A secret of several parts is exchanged for a token: once for all who need it, until shortly before its end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import parse_qsl

import pytest

from providers import auth, signin
from providers.connector import Connector
from providers.errors import BadCredentials, ProviderError, Unreachable
from providers.registry import KINDS
from providers.wiring import HttpAnswer, HttpRequest, Limits, Target
from tests.cloud import Answer, Cloud, local_connector, whole
from tests.upstream import Exchange, Seen, refusing_url

SECRET = "test-client-secret-0123456789"


class Login(Cloud):
    """A login server. `reply` is how it answers; the usual one numbers its tokens."""

    def __init__(self) -> None:
        super().__init__(self._token)
        self.expires_in: Any = 3599
        self.reply: Answer | None = None

    def _token(self, seen: Seen) -> Answer:
        token = {"token_type": "Bearer", "expires_in": self.expires_in, "access_token": f"token-{len(self.requests)}"}
        return self.reply or whole(token)

    @property
    def forms(self) -> list[dict[str, str]]:
        return [dict(parse_qsl(seen.body.decode())) for seen in self.requests]


@pytest.fixture(scope="module")
def server() -> Iterator[Login]:
    with Login() as login:
        yield login


@pytest.fixture
def login(server: Login) -> Login:
    server.requests.clear()
    server.expires_in, server.reply = 3599, None
    signin.forget_all()
    return server


@pytest.fixture
async def port() -> AsyncIterator[Connector]:
    connector = local_connector()
    await connector.start()
    yield connector
    await connector.close()


def secret(login: Login | None = None, **parts: str) -> str:
    usual = {"tenant_id": "tenant-1", "client_id": "client-1", "client_secret": SECRET}
    authority = {"authority": login.url} if login else {}
    return json.dumps({name: value for name, value in (usual | authority | parts).items() if value})


def to(text: str, kind: str = "azure-openai", name: str = "az") -> Target:
    row = KINDS[kind]
    return Target(1, name, row, "https://example.openai.azure.com", "m", credential_id=1, secret=text)


# -- what needs no exchange ---------------------------------------------------------------


class NoPort:
    async def send(self, request: HttpRequest, limits: Limits) -> HttpAnswer:
        raise AssertionError("Nothing may be sent.")

    def stream(self, request: HttpRequest, limits: Limits) -> Any:
        raise AssertionError("Nothing may be sent.")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("test-key-0123456789", "azure-openai"),
        ("eyJh.eyJi.c2ln", "azure-openai"),
        ("", "azure-openai"),
        ('{"access_key_id":"TESTACCESSKEY","secret_access_key":"test-secret"}', "bedrock"),
        ("test-key-0123456789", "openai"),
    ],
)
async def test_a_key_is_left_as_it_is(text: str, kind: str) -> None:
    target = to(text, kind)
    assert await signin.ready(target, NoPort()) is target
    assert signin.before(target) is target


def test_no_scheme_sends_a_secret_of_several_parts() -> None:
    for scheme in auth.SIGNERS:
        assert auth.signed(scheme, secret()) == {}
    assert auth.signed("api-key-or-token", "Bearer abc") == {"authorization": "Bearer abc"}
    assert auth.signed("api-key-or-token", "eyJh.eyJi.c2ln") == {"authorization": "Bearer eyJh.eyJi.c2ln"}
    assert auth.signed("api-key-or-token", "test-key") == {"api-key": "test-key"}


# -- one exchange -------------------------------------------------------------------------


async def test_client_credentials(login: Login, port: Connector) -> None:
    ready = await signin.ready(to(secret(login)), port)
    assert ready.secret == "Bearer token-1"
    (seen,) = login.requests
    assert (seen.method, seen.path) == ("POST", "/tenant-1/oauth2/v2.0/token")
    assert seen.headers["content-type"] == "application/x-www-form-urlencoded"
    assert login.forms == [
        {
            "grant_type": "client_credentials",
            "client_id": "client-1",
            "client_secret": SECRET,
            "scope": "https://cognitiveservices.azure.com/.default",
        }
    ]


async def test_for_a_person(login: Login, port: Connector) -> None:
    """With a refresh token, or on behalf of somebody whose token is there."""
    await signin.ready(to(secret(login, refresh_token="test-refresh", client_secret=""), "copilot"), port)
    await signin.ready(to(secret(login, assertion="test-assertion"), "copilot"), port)
    scope = "https://graph.microsoft.com/.default"
    assert login.forms == [
        {"grant_type": "refresh_token", "client_id": "client-1", "refresh_token": "test-refresh", "scope": scope},
        {
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "client_id": "client-1",
            "client_secret": SECRET,
            "assertion": "test-assertion",
            "requested_token_use": "on_behalf_of",
            "scope": scope,
        },
    ]
    with pytest.raises(BadCredentials, match="refresh_token"):
        await signin.ready(to(secret(login), "copilot"), port)


async def test_a_newer_refresh_token_is_used_the_next_time(login: Login, port: Connector) -> None:
    target = to(secret(login, refresh_token="test-refresh-1"), "copilot")
    login.expires_in = 0
    login.reply = whole({"access_token": "a", "expires_in": 0, "refresh_token": "test-refresh-2"})
    await signin.ready(target, port)
    await signin.ready(target, port)
    assert [form["refresh_token"] for form in login.forms] == ["test-refresh-1", "test-refresh-2"]


def test_the_usual_login_server() -> None:
    exchange = KINDS["azure-openai"].exchanges
    assert exchange is not None
    request = signin.request_for(to(secret(tenant_id="../evil?")), exchange)
    assert request.url == "https://login.microsoftonline.com/..%2Fevil%3F/oauth2/v2.0/token"
    assert request.kind is None, "a login server keeps to the rules of the cloud"


# -- once for everybody -------------------------------------------------------------------


async def test_a_token_is_kept(login: Login, port: Connector) -> None:
    target = to(secret(login))
    first = await signin.ready(target, port)
    assert await signin.ready(target, port) == first
    assert len(login.requests) == 1
    other = await signin.ready(to(secret(login, client_id="client-2")), port)
    assert other.secret == "Bearer token-2"


async def test_one_exchange_at_a_time(login: Login, port: Connector) -> None:
    """Also when the first who asked leaves in the middle of it."""
    asked, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    async def slow(it: Exchange) -> None:
        loop.call_soon_threadsafe(asked.set)
        while not go_on.is_set():
            await it.pause(0.01)
        await it.whole(json.dumps({"access_token": "shared", "expires_in": 3600}).encode())

    login.reply = slow
    tasks = [asyncio.create_task(signin.ready(to(secret(login)), port)) for _ in range(10)]
    await asyncio.wait_for(asked.wait(), 10)
    tasks[0].cancel()
    go_on.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert {one.secret for one in results[1:] if isinstance(one, Target)} == {"Bearer shared"}
    assert len(login.requests) == 1


@pytest.mark.parametrize(("lasts", "asked"), [(3599, 1), ("3599", 1), (400, 1), (0, 2), (-5, 2)])
async def test_it_is_asked_again_before_the_end(lasts: Any, asked: int, login: Login, port: Connector) -> None:
    login.expires_in = lasts
    target = to(secret(login))
    await signin.ready(target, port)
    await signin.ready(target, port)
    assert len(login.requests) == asked


async def test_how_long_a_token_is_used(login: Login, port: Connector) -> None:
    loop = asyncio.get_running_loop()
    exchange = KINDS["azure-openai"].exchanges
    assert exchange is not None
    for lasts, used in ((3599, 3299), (400, 200), (10**12, 90 * 86_400 - 300)):
        login.expires_in = lasts
        before = loop.time()
        kept = await signin._exchanged(to(secret(login)), exchange, port, "")
        assert used <= kept.until - before < used + 10


async def test_a_token_that_was_refused_is_not_used_again(login: Login, port: Connector) -> None:
    target = to(secret(login))
    await signin.ready(target, port)
    signin.forget(target)
    assert (await signin.ready(target, port)).secret == "Bearer token-2"


async def test_only_so_many_are_kept(login: Login, port: Connector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signin, "MOST_TOKENS", 2)
    one, two, three = (to(secret(login, client_id=name)) for name in "abc")
    for target in (one, two, one, three, one):
        await signin.ready(target, port)
    assert len(login.requests) == 3
    await signin.ready(two, port)
    assert len(login.requests) == 4


# -- what goes wrong ----------------------------------------------------------------------


async def failure(target: Target, port: Connector) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await signin.ready(target, port)
    assert not caught.value.sent, "the provider has seen nothing, so nothing is billed"
    assert SECRET not in caught.value.message
    return caught.value


async def test_a_wrong_secret(login: Login, port: Connector) -> None:
    words = f"AADSTS7000215: Invalid client secret {SECRET} provided.\r\nTrace ID: 1\r\nCorrelation ID: 2"
    login.reply = whole({"error": "invalid_client", "error_description": words}, 401)
    target = to(secret(login))
    error = await failure(target, port)
    assert isinstance(error, BadCredentials)
    assert error.message == "az cannot be signed in to: AADSTS7000215: Invalid client secret *** provided."
    assert (error.upstream_status, error.reason) == (401, "upstream_auth")
    assert (await failure(target, port)).message == error.message
    assert len(login.requests) == 1, "for a moment it is not asked again"


@pytest.mark.parametrize(
    "reply",
    [
        whole({}, 500),
        whole({}, 429),
        whole(b"<html>", 200, "text/html"),
        whole(b""),
        whole({"access_token": ""}),
        whole({"access_token": "a\r\nx-evil: 1"}),
        whole({"expires_in": 3600}),
        whole({"access_token": "a", "expires_in": "soon"}),
        whole({"access_token": "a" * 100_000}),
    ],
    ids=["500", "429", "page", "nothing", "empty", "lines", "none", "word", "long"],
)
async def test_a_login_server_that_gives_no_token(reply: Answer, login: Login, port: Connector) -> None:
    login.reply = reply
    assert isinstance(await failure(to(secret(login)), port), Unreachable)
    login.reply = None
    await signin.ready(to(secret(login)), port)


async def test_a_login_server_that_is_not_there(port: Connector) -> None:
    error = await failure(to(secret(authority=refusing_url())), port)
    assert isinstance(error, Unreachable)
    assert error.reason == "upstream_unreachable"


async def test_a_login_server_must_not_be_inside() -> None:
    connector = Connector()
    await connector.start()
    try:
        error = await failure(to(secret(authority="http://169.254.169.254")), connector)
        assert "not allowed" in error.message
    finally:
        await connector.close()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{broken", "neither one text nor the JSON"),
        ('{"a":1}', "neither one text nor the JSON"),
        (secret(tenant_id=""), "tenant_id"),
        (secret(client_id="", tenant_id=""), "tenant_id and client_id"),
        (secret(client_secret=""), "client_secret"),
    ],
)
async def test_parts_that_are_missing(text: str, words: str) -> None:
    with pytest.raises(BadCredentials, match=words):
        await signin.ready(to(text), NoPort())

"""Where a request goes, worked out once for each address, and how its head is spelled."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from providers.addresses import Network, Policy, read_url
from providers.errors import BadRequest
from providers.registry import Place
from providers.wiring import HttpRequest

# What every request carries unless it says otherwise itself.
DEFAULTS = {"user-agent": "relayhouse", "accept": "*/*", "accept-encoding": "identity"}
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


@dataclass(frozen=True, slots=True)
class Route:
    policy: Policy
    host: str  # a name, or an address without brackets
    port: int
    secure: bool
    line: str  # what follows the method, with the host

    @property
    def where(self) -> tuple[str, int, bool]:
        return self.host, self.port, self.secure


@lru_cache(maxsize=1024)
def route_to(address: str, place: Place, allowed: tuple[Network, ...]) -> Route:
    """Raises what is wrong with the address, before anything is sent."""
    url, policy = read_url(address, place, allowed)
    host, port = url.raw_host, url.port
    assert host is not None
    assert port is not None
    host = host.rstrip(".")
    spelled = f"[{host}]" if ":" in host else host
    if not url.is_default_port():
        spelled += f":{port}"
    line = f" {url.raw_path_qs} HTTP/1.1\r\nhost: {spelled}\r\n"
    return Route(policy, host, port, url.scheme == "https", line)


def head_of(request: HttpRequest, route: Route, *, keep: bool = True) -> bytes:
    """The head of a request, to the empty line."""
    lines = [request.method, route.line]
    headers = request.headers
    for name, value in headers.items():
        lines.append(f"{name}: {value}\r\n")
    lines += _defaults_beside(tuple(headers))
    if request.body or request.method in _WITH_BODY:
        lines.append(f"content-length: {len(request.body)}\r\n")
    if not keep:
        lines.append("connection: close\r\n")
    lines.append("\r\n")
    head = "".join(lines)
    # One end of a line in each of them, and one more in the line with the host: else some value brought its own.
    if not head.count("\n") == head.count("\r") == len(lines) or "\0" in head:
        raise BadRequest("A header for the provider holds a character that no header may hold.", sent=False)
    return head.encode()


@lru_cache(maxsize=256)
def _defaults_beside(names: tuple[str, ...]) -> tuple[str, ...]:
    own = {name.lower() for name in names}
    return tuple(f"{name}: {value}\r\n" for name, value in DEFAULTS.items() if name not in own)

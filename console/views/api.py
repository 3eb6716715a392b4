"""The management API as this site mounts it: who is asking, what they may do, and the page that describes it.

A key and a session follow the same rules: each operation names the action it needs, and one that names none cannot be
mounted. A session must also prove that its own pages sent the request (CSRF); a key needs no such proof.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import wraps
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.urls import URLPattern, include, path
from django.utils import timezone, translation
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from ninja import NinjaAPI
from ninja.security import APIKeyCookie, HttpBearer
from ninja.utils import check_csrf

from billing.models import Request
from console import fleet
from console.access import SIGNED_IN, can, declare_action, memberships_of, public, signed_in
from console.holders import CHANGE, SEE
from console.models import User
from console.reference import groups_of
from console.views import api_keys, api_requests
from console.views.answers import page
from routing.api import Refused, build, error_answer
from routing.callers import EXPIRED, INVALID, Caller, find_key
from routing.callers import Refused as KeyRefused
from routing.keys import RANDOM_CHARACTERS, peppers
from routing.models import ApiKey
from routing.schemas import ProviderOut

# What a key may do by itself: look at what its own team did, and at models. Everything else takes a person.
KEY_ACTIONS = frozenset({"requests.see", "models.see"})
# And what only a key may do that was given the right by name, with the scope that gives it.
GRANTED: Mapping[str, str] = {"keys.see": SEE, "keys.make_own": CHANGE}
USED_EVERY = timedelta(minutes=1)  # how exact `last_used_at` is


# -- who is asking ----------------------------------------------------------------


class KeyAuth(HttpBearer):
    """A key that is presented decides alone: a wrong one is refused, whoever is signed in."""

    def __call__(self, request: HttpRequest) -> Caller | None:
        secret = presented_key(request)
        return self.authenticate(request, secret) if secret else None

    def authenticate(self, request: HttpRequest, token: str) -> Caller:
        found = _caller(token)
        if isinstance(found, KeyRefused):
            raise Refused(found.status, found.code, found.message)
        action = _needed(request)
        if not _may(found, action):
            raise Refused(403, "not_allowed", f"This needs '{action}', which this key may not do.")
        return found


def _may(caller: Caller, action: str) -> bool:
    if action in GRANTED:
        return GRANTED[action] in caller.scopes
    return action in KEY_ACTIONS and (not caller.scopes or action in caller.scopes)


class SessionAuth(APIKeyCookie):
    param_name = settings.SESSION_COOKIE_NAME

    def __call__(self, request: HttpRequest) -> User | None:
        return self.authenticate(request, None)

    def authenticate(self, request: HttpRequest, key: str | None) -> User | None:
        person = request.user
        if not isinstance(person, User) or not person.is_active:
            return None
        if check_csrf(request):
            raise Refused(403, "csrf_failed", "The CSRF token is missing or wrong. Send it as 'X-CSRFToken'.")
        action = _needed(request)
        if not can(person, action):
            raise Refused(403, "not_allowed", f"This needs '{action}', which your role does not have.")
        return person


def presented_key(request: HttpRequest) -> str:
    """The same three ways as at /v1."""
    given = request.headers.get("Authorization", "")
    if given:
        scheme, _, secret = given.partition(" ")
        return secret.strip() if scheme.lower() == "bearer" else "?"
    return (request.headers.get("x-api-key") or request.headers.get("api-key") or "").strip()


def _caller(secret: str) -> Caller | KeyRefused:
    prefix = f"{settings.BRAND['key_prefix']}_"
    if not (secret.isascii() and secret.startswith(prefix) and len(secret) == len(prefix) + RANDOM_CHARACTERS):
        return INVALID
    hashes = tuple(hmac.digest(pepper, secret.encode(), "sha256").hex() for pepper in peppers().values())
    _, found = find_key(hashes)
    if isinstance(found, KeyRefused):
        return found
    if found.expires_at is not None and found.expires_at <= time.time():
        return EXPIRED
    _note_used(found.key_id)
    return found


def _note_used(key_id: int) -> None:
    now = timezone.now()
    used = ApiKey.objects.filter(pk=key_id)
    used.filter(last_used_at=None).update(last_used_at=now)
    used.filter(last_used_at__lt=now - USED_EVERY).update(last_used_at=now)


def _needed(request: HttpRequest) -> str:
    assert request.resolver_match is not None
    needs: Mapping[str, str] = request.resolver_match.func.needs  # type: ignore[attr-defined]
    return needs[request.method or ""]


def may_see(request: HttpRequest, record: Request) -> bool:
    """A key sees its team's requests, or its person's; people see their own and their teams', some see all."""
    asking = request.auth  # type: ignore[attr-defined]
    if isinstance(asking, Caller):
        if asking.team_id is not None:
            return record.team_id == asking.team_id
        return asking.user_id is not None and record.user_id == asking.user_id
    if can(asking, "requests.see_all") or record.user_id == asking.pk:
        return True
    return record.team_id is not None and record.team_id in {each.team_id for each in memberships_of(asking)}


# -- where it is --------------------------------------------------------------------


def mounted(api: NinjaAPI) -> tuple[list[URLPattern], str]:
    """The API's paths, each view with what it needs, and every refusal in the API's own shape."""
    found, app, _ = api.urls
    needs = _declared(api)
    patterns = [pattern for pattern in found if isinstance(pattern, URLPattern)]
    for pattern in patterns:
        view: Callable[..., HttpResponse] = pattern.callback
        if pattern.name == "api-root":
            pattern.callback = to_docs
        elif pattern.name == "openapi-json":
            pattern.callback = public(require_safe(view))
        else:
            pattern.callback = _in_shape(view, needs[str(pattern.name)])
    return patterns, app


def _declared(api: NinjaAPI) -> dict[str, dict[str, str]]:
    """The action of each operation, by the name of its path and its method; LookupError where there is none."""
    needs: dict[str, dict[str, str]] = {}
    for _, router in api._routers:
        for view in router.path_operations.values():
            of_path: dict[str, str] = {}  # a path has one name, that of one of its operations
            for operation in view.operations:
                name = api.get_operation_url_name(operation, router=router)
                action = (operation.openapi_extra or {}).get("x-needs")
                if not action:
                    raise LookupError(f"The API operation '{name}' declares no permission.")
                declare_action(f"api:{name}", action)
                of_path.update(dict.fromkeys(operation.methods, action))
                needs[name] = of_path
    return needs


def _in_shape(view: Callable[..., HttpResponse], needs: Mapping[str, str]) -> Callable[..., HttpResponse]:
    @wraps(view)
    def shaped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = view(request, *args, **kwargs)
        if isinstance(response, HttpResponseNotAllowed):
            allowed = response["Allow"]
            message = f"{request.path} takes {allowed.replace(', ', ' or ')}, not {request.method}."
            response = error_answer(request, 405, "method_not_allowed", message)
            response["Allow"] = allowed
        response["Cache-Control"] = "no-store"
        return response

    shaped.needs = needs  # type: ignore[attr-defined]
    shaped.access = SIGNED_IN  # type: ignore[attr-defined]  # by a session or a key, which its auth asks for
    return shaped


@signed_in
@require_safe
def to_docs(request: HttpRequest) -> HttpResponse:
    return redirect("api-docs")


@csrf_exempt
@public
def nothing(request: HttpRequest, rest: str) -> HttpResponse:
    return error_answer(request, 404, "not_found", f"There is nothing at {request.path[:200]}.")


@signed_in
@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    """Every operation with what it takes and gives, drawn from the OpenAPI document. No script, nothing from afar."""
    schema = api.get_openapi_schema()
    context = {"groups": groups_of(schema), "title": schema["info"]["title"], "version": schema["info"]["version"]}
    return page(request, "api/docs.html", context | {"base_url": request.build_absolute_uri("/").rstrip("/")})


def told_providers() -> list[ProviderOut]:
    """In English, as everything the API says."""
    with translation.override("en"):
        return [_told(row) for row in fleet.rows_of(timezone.now())]


def _told(row: fleet.Row) -> ProviderOut:
    day = row.figures.day
    return ProviderOut(
        slug=row.provider.slug,
        name=row.provider.name,
        kind=row.provider.kind,
        enabled=row.provider.enabled,
        status=row.status.state,
        why=row.why,
        checked_at=row.checked_at,
        models=row.models,
        requests=day.calls,
        failures=day.failures,
        rerouted=day.rerouted,
        first_token_ms=day.median_ms,
        spent=dict(day.amounts),
    )


api = build(
    authenticate=[KeyAuth(), SessionAuth()], may_see=may_see, version=settings.VERSION, providers=told_providers
)

api_keys.add(api)
api_requests.add(api)

urlpatterns = [
    path("docs", docs, name="api-docs"),
    path("", include(mounted(api), namespace=api.urls_namespace)),
    path("<path:rest>", nothing, name="api-nothing"),
]

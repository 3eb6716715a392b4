"""Around every page: an id for the request, the person's language and time zone, and the guard of undeclared views."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from inspect import iscoroutinefunction
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django.utils import timezone, translation
from django.utils.cache import patch_vary_headers
from django.utils.decorators import sync_and_async_middleware
from django.utils.deprecation import MiddlewareMixin

from billing.ids import new_request_id
from console.access import NotAllowed, declaration_of, refusal_of
from console.house import organisation_of
from console.locks import Busy
from console.models import User

SEEN_EVERY = timedelta(minutes=5)


@sync_and_async_middleware
def request_id_middleware(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """`request.request_id`, shown on error pages, and the same in `x-request-id`. No thread, no query."""

    def finish(request: HttpRequest, response: HttpResponse) -> HttpResponse:
        response.headers.setdefault("x-request-id", request.request_id)  # type: ignore[attr-defined]
        patch_vary_headers(response, ["HX-Request"])
        return response

    if iscoroutinefunction(get_response):

        async def answer_async(request: HttpRequest) -> HttpResponse:
            request.request_id = new_request_id()  # type: ignore[attr-defined]
            return finish(request, await get_response(request))

        return answer_async

    def answer(request: HttpRequest) -> HttpResponse:
        request.request_id = new_request_id()  # type: ignore[attr-defined]
        return finish(request, get_response(request))

    return answer


class PersonMiddleware(MiddlewareMixin):
    """Speaks the person's language and shows their hours; without a choice, the organisation's."""

    def process_request(self, request: HttpRequest) -> None:
        person = request.user
        if not isinstance(person, User):
            timezone.deactivate()
            return
        language = person.language or organisation_of(request).language
        if language in dict(settings.LANGUAGES):
            translation.activate(language)
            request.LANGUAGE_CODE = translation.get_language()
        timezone.activate(zone_named(person.time_zone or organisation_of(request).time_zone))
        _note_seen(request, person)

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        timezone.deactivate()
        return response


class AccessMiddleware(MiddlewareMixin):
    """Refuses a view that declares nothing, enforces the table for views that others wrote."""

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponse | None:
        match = request.resolver_match
        declaration = declaration_of(view, match.view_name if match else "")
        if declaration is None:
            if settings.DEBUG:
                raise LookupError(f"{request.path} is answered by a view that declares no permission.")
            return HttpResponseForbidden("This page declares no permission.")
        if hasattr(view, "access"):
            return None  # the mark enforces itself
        return refusal_of(request, declaration)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        from console.views.access import busy, refused  # they render templates, which need the whole site

        if isinstance(exception, NotAllowed):
            return refused(request, exception.action)
        if isinstance(exception, Busy):
            return busy(request)
        return None


def zone_named(name: str) -> zoneinfo.ZoneInfo | Any:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        return UTC


def _note_seen(request: HttpRequest, person: User) -> None:
    """At most one write in five minutes says when a person was last here."""
    now = timezone.now()
    last = request.session.get("seen")
    if last and now - datetime.fromisoformat(last) < SEEN_EVERY:
        return
    from allauth.usersessions.models import UserSession

    request.session["seen"] = now.isoformat()
    UserSession.objects.filter(session_key=request.session.session_key, user=person).update(last_seen_at=now)

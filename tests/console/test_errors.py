"""Pages for what went wrong."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import SuspiciousOperation
from django.db import OperationalError, connection
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from console.access import public
from console.urls import handler400, handler403, handler404, handler500
from console.urls import urlpatterns as every_page

pytestmark = pytest.mark.django_db
assert all((handler400, handler403, handler404, handler500))  # this module stands in as the URL configuration


@public
def broken(request: HttpRequest) -> HttpResponse:
    raise ValueError("test-key-must-not-be-shown")


@public
def without_database(request: HttpRequest) -> HttpResponse:
    raise OperationalError("the database is gone")


@public
def odd(request: HttpRequest) -> HttpResponse:
    raise SuspiciousOperation("odd")


urlpatterns = [path("broken/", broken), path("gone/", without_database), path("odd/", odd), *every_page]


def quietly(**options: Any) -> Client:
    return Client(raise_request_exception=False, **options)


def test_an_unknown_address_is_told_inside_the_shell(alice: Any, signed_in: Any) -> None:
    answer = signed_in(alice).get("/nowhere/")
    page = answer.content.decode()
    assert answer.status_code == 404
    assert "There is nothing at this address" in page
    assert 'class="side"' in page
    assert answer["x-request-id"] in page


def test_a_stranger_gets_the_same_without_the_shell(db: None) -> None:
    page = Client().get("/nowhere/").content.decode()
    assert "There is nothing at this address" in page
    assert 'class="side"' not in page
    assert 'class="gate"' in page


@pytest.mark.urls(__name__)
def test_a_fault_needs_no_database(alice: Any, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        answer = quietly().get("/broken/")
    page = answer.content.decode()
    assert answer.status_code == 500
    assert "Something broke on our side" in page
    assert answer["x-request-id"] in page
    assert "test-key-must-not-be-shown" not in page


@pytest.mark.urls(__name__)
def test_a_database_that_is_gone_is_a_wait(db: None) -> None:
    answer = quietly().get("/gone/")
    assert answer.status_code == 503
    assert answer["Retry-After"] == "5"
    assert "Try again" in answer.content.decode()


@pytest.mark.urls(__name__)
def test_an_odd_request_is_told_so(db: None) -> None:
    answer = quietly().get("/odd/")
    assert answer.status_code == 400
    assert answer["x-request-id"] in answer.content.decode()


def test_a_foreign_host_is_refused_with_a_sentence(db: None) -> None:
    answer = quietly(headers={"host": "evil.example"}).get("/nowhere/")
    assert answer.status_code == 400
    assert "ALLOWED_HOSTS" in answer.content.decode()


def test_an_old_form_says_what_to_do(alice: Any, signed_in: Any) -> None:
    client = signed_in(alice)
    client.handler.enforce_csrf_checks = True
    answer = client.post("/theme/", {"theme": "dark"})
    assert answer.status_code == 403
    assert "no longer valid" in answer.content.decode()


def test_the_fault_page_speaks_french(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__
    answer = quietly(headers={"accept-language": "fr"}).get("/broken/")
    assert '<html lang="fr">' in answer.content.decode()
    assert connection.vendor

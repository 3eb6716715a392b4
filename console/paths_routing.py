"""Addresses of the table of routes, and of trying a request on it."""

from __future__ import annotations

from django.urls import path

from console.views import routing

urlpatterns = [
    path("routing/", routing.index, name="routing"),
    path("routing/try/", routing.trying, name="routing-try"),
]

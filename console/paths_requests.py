"""Addresses of the list of requests and of one of them."""

from __future__ import annotations

from django.urls import path

from console.views import requests

urlpatterns = [
    path("requests/", requests.index, name="request-list"),
    path("requests/bars/", requests.bars, name="request-bars"),
    path("requests/new/", requests.new, name="request-new"),
    path("requests/export/", requests.export, name="request-export"),
    path("requests/<str:request_id>/", requests.detail, name="request-detail"),
]

"""Addresses of the pages of API keys."""

from __future__ import annotations

from django.urls import path

from console.views import key, keys

urlpatterns = [
    path("keys/", keys.index, name="key-list"),
    path("keys/month/", keys.month, name="key-month"),
    path("keys/new/", keys.create, name="key-create"),
    path("keys/<int:pk>/", key.detail, name="key-detail"),
    path("keys/<int:pk>/edit/", key.update, name="key-update"),
    path("keys/<int:pk>/rotate/", key.rotate, name="key-rotate"),
    path("keys/<int:pk>/revoke/", key.revoke, name="key-revoke"),
    path("keys/<int:pk>/old/", key.end_old, name="key-end-old"),
    path("keys/<int:pk>/first/", key.first, name="key-first"),
]

"""Addresses of the page of all providers, and of what is done to one from there."""

from __future__ import annotations

from django.urls import path

from console.views import fleet, stopping

urlpatterns = [
    path("providers/", fleet.index, name="provider-list"),
    path("providers/check/", fleet.check_all, name="provider-check-all"),
    path("providers/reconnect/", stopping.reconnect, name="provider-reconnect"),
    path("providers/<int:pk>/check/", fleet.check_one, name="provider-check"),
    path("providers/<int:pk>/enabled/", stopping.enabled, name="provider-enabled"),
    path("providers/<int:pk>/disable-check/", stopping.disable_check, name="provider-disable-check"),
    path("providers/<int:pk>/disconnect/", stopping.disconnect, name="provider-disconnect"),
]

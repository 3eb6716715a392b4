"""Addresses of the pages about prices."""

from __future__ import annotations

from django.urls import path

from console.views import prices

urlpatterns = [
    path("models/prices/", prices.index, name="price-list"),
    path("models/prices/check/", prices.check, name="price-check"),
    path("models/prices/accept/", prices.accept_all, name="price-accept-all"),
    path("models/prices/undo/", prices.undo, name="price-undo"),
    path("models/prices/<int:pk>/accept/", prices.accept, name="price-accept"),
    path("models/prices/<int:pk>/dismiss/", prices.dismiss, name="price-dismiss"),
    path("models/prices/<int:pk>/reopen/", prices.reopen, name="price-reopen"),
]

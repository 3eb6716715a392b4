"""Addresses of the page of all models and of the drawer of one."""

from __future__ import annotations

from django.urls import path

from console.views import lineup, models

urlpatterns = [
    path("models/", lineup.index, name="model-list"),
    path("models/<int:pk>/", models.detail, name="model-detail"),
    path("models/<int:pk>/facts/", models.override, name="model-override"),
    path("models/<int:pk>/offer/", models.offer, name="model-offer"),
    path("models/<int:pk>/names/", models.add_alias, name="model-alias-add"),
    path("models/<int:pk>/names/<int:alias>/remove/", models.remove_alias, name="model-alias-remove"),
    path("models/<int:pk>/price/", models.price, name="model-price"),
]

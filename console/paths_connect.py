"""Addresses of connecting a provider and of the page of one."""

from __future__ import annotations

from django.urls import path

from console.views import circuits, connect, credentials, provider

urlpatterns = [
    path("providers/add/", connect.add, name="provider-create"),
    path("providers/add/discover/", connect.discover, name="provider-discover"),
    path("providers/add/<slug:slug>/", connect.one_kind, name="provider-connect"),
    path("providers/check-draft/", connect.check_draft, name="provider-check-draft"),
    path("providers/check-draft/<slug:line>/", connect.check_draft, name="provider-check-line"),
    path("providers/<slug:slug>/", provider.overview, name="provider-detail"),
    path("providers/<slug:slug>/models/", provider.models, name="provider-models"),
    path("providers/<slug:slug>/models/change/", provider.change_models, name="provider-models-change"),
    path("providers/<slug:slug>/models/read/", provider.read_models, name="provider-models-read"),
    path("providers/<slug:slug>/limits/", provider.limits, name="provider-limits"),
    path("providers/<slug:slug>/circuit/open/", circuits.hold, name="circuit-open"),
    path("providers/<slug:slug>/circuit/close/", circuits.release, name="circuit-close"),
    path("providers/<slug:slug>/settings/", provider.settings, name="provider-settings"),
    path("providers/<slug:slug>/address/", provider.move, name="provider-move"),
    path("providers/<slug:slug>/trial/", provider.trial, name="provider-trial"),
    path("providers/<slug:slug>/teams/", provider.teams, name="provider-teams"),
    path("providers/<slug:slug>/activity/", provider.activity, name="provider-activity"),
    path("providers/<slug:slug>/credentials/", credentials.index, name="provider-credentials"),
    path("providers/<slug:slug>/credentials/add/", credentials.add, name="credential-create"),
    path("providers/<slug:slug>/credentials/check/<int:pk>/", credentials.check, name="credential-check"),
    path("providers/<slug:slug>/credentials/<int:pk>/rotate/", credentials.rotate, name="credential-rotate"),
    path("providers/<slug:slug>/credentials/<int:pk>/weight/", credentials.weight, name="credential-weight"),
    path("providers/<slug:slug>/credentials/<int:pk>/state/", credentials.state, name="credential-state"),
    path("providers/<slug:slug>/credentials/<int:pk>/delete/", credentials.delete, name="credential-delete"),
]

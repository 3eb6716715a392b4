"""Where every page is, grouped by noun. /v1 and the probes are answered before Django, in console/asgi.py."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from console.views import access, appearance, palette, styleguide

shell_urls = [
    path("palette/", palette.results, name="palette"),
    path("theme/", appearance.theme, name="theme"),
    path("language/", appearance.language, name="language"),
    path("access/ask/", access.ask, name="access-ask"),
    path("styleguide/", styleguide.styleguide, name="styleguide"),
]

urlpatterns = [
    path("", include(shell_urls)),
    path("", include("console.paths_people")),
    path("", include("console.paths_keys")),
    path("", include("console.paths_fleet")),
    path("", include("console.paths_connect")),
    path("", include("console.paths_prices")),
    path("", include("console.paths_models")),
    path("", include("console.paths_routing")),
    path("", include("console.paths_requests")),
    path("", include("console.views.play")),
    path("accounts/", include("console.paths_accounts")),
    path("api/", include("console.views.api")),
    path("admin/", admin.site.urls),
]

handler400 = "console.views.errors.bad_request"
handler403 = "console.views.errors.forbidden"
handler404 = "console.views.errors.not_found"
handler500 = "console.views.errors.server_error"

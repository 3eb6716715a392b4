"""How people get in: our answers to the questions that allauth asks. No open sign-up."""

from __future__ import annotations

import time
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.auth_backends import AuthenticationBackend
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import authenticate
from django.core import signing
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from billing.models import Membership, Organisation
from console import throttle
from console.addresses import client_address
from console.audit import Named, record
from console.invitations import open_invitations
from console.mail import send
from console.models import Role, User
from console.people import reset_address
from console.throttle import Limit
from providers import vault

KNOWN_COOKIE = "relayhouse_known"
KNOWN_SECONDS = 180 * 24 * 3600
TOTP_PLACE = ("mfa_authenticator", "data")

# An attacker must not be able to keep a person out by failing in their name. So tries are counted per person and
# address, and a browser this person has signed in with before is never stopped by what strangers do elsewhere.
PER_PLACE = Limit(5, 300)
PER_ADDRESS = Limit(30, 300)
PER_PERSON = Limit(50, 3600)


class Throttled(ValidationError):
    """Refused before any password was hashed."""

    def __init__(self, wait: int) -> None:
        minutes = max(1, -(-wait // 60))
        words = ngettext(
            "Too many tries. Wait %(n)d minute, then try again.",
            "Too many tries. Wait %(n)d minutes, then try again.",
            minutes,
        )
        super().__init__(words % {"n": minutes}, code="throttled")
        self.wait = wait


class AccountAdapter(DefaultAccountAdapter):
    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "too_many_login_attempts": gettext_lazy("Too many tries. Wait five minutes, then try again."),
        "incorrect_password": gettext_lazy("That is not your password."),
        "incorrect_code": gettext_lazy("That code is not right. A new one comes every 30 seconds."),
        "invalid_password_reset": gettext_lazy("This link was used or has ended."),
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        return client_address(request) or "127.0.0.1"  # a Unix socket: our own proxy on this machine

    def authenticate(self, request: HttpRequest, **credentials: Any) -> Any:
        """Counted first, hashed second; a good password gives its try back."""
        email = str(credentials.get("email") or "").strip().lower()
        now = time.time()
        limits = _limits(request, email)
        room = throttle.take(limits, now)
        if not room.allowed:
            record_failure(request, email, throttled=True)
            raise Throttled(room.wait)
        AuthenticationBackend.unstash_authenticated_user()
        user = authenticate(request, **credentials) or AuthenticationBackend.unstash_authenticated_user()
        if user:
            throttle.give_back(limits, now)
            return user
        record_failure(request, email)
        request.tries_left = room.left  # type: ignore[attr-defined]
        return None

    def post_login(self, request: HttpRequest, user: Any, **kwargs: Any) -> HttpResponse:
        response: HttpResponse = super().post_login(request, user, **kwargs)
        response.set_cookie(
            KNOWN_COOKIE,
            signing.dumps(user.email, salt=KNOWN_COOKIE),
            max_age=KNOWN_SECONDS,
            httponly=True,
            secure=settings.SESSION_COOKIE_SECURE,
            samesite="Lax",
        )
        return response

    def add_message(
        self, request: HttpRequest, level: int, message_template: str | None = None, *a: Any, **k: Any
    ) -> None:
        """Signing in and out says so by itself."""
        if message_template and message_template.endswith(("logged_in.txt", "logged_out.txt")):
            return
        super().add_message(request, level, message_template, *a, **k)

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """The one mail we let allauth send. Whether it went out must not show: that would tell who has an account."""
        if template_prefix == "account/email/password_reset_key":
            send("password_reset", [email], context | {"organisation": Organisation.get()})

    def get_reset_password_from_key_url(self, key: str) -> str:
        return reset_address(key, self.request)

    def set_password(self, user: Any, password: str) -> None:
        super().set_password(user, password)
        record(user, "change", Named("password", str(user.pk), str(user)), request=self.request)


class SocialAccountAdapter(DefaultSocialAccountAdapter):
    """The company's sign-in. Who it vouches for by a verified address is in, with the role that settings give."""

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        if sociallogin.is_existing:
            return
        email = _verified_address(sociallogin)
        if not email:
            raise ImmediateHttpResponse(company_refusal(request, _("It did not confirm your email address.")))
        person = User.objects.filter(email__iexact=email).first()
        if person:
            sociallogin.connect(request, person)

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        return bool(_verified_address(sociallogin))

    def save_user(self, request: HttpRequest, sociallogin: Any, form: Any = None) -> Any:
        """A first visit. An invitation to this address decides role and teams; otherwise the setting does."""
        person = sociallogin.user
        person.email = _verified_address(sociallogin)
        claims = sociallogin.account.extra_data
        claims = claims.get("userinfo", claims)
        person.name = str(claims.get("name") or "")[:120] or person.email.split("@")[0]
        now = timezone.now()
        invitation = open_invitations(now).filter(email__iexact=person.email).first()
        person.role = invitation.role if invitation else default_role()
        person.set_unusable_password()
        sociallogin.save(request)
        if invitation and open_invitations(now).filter(pk=invitation.pk).update(accepted_at=now):
            teams = invitation.teams.filter(archived_at=None)
            Membership.objects.bulk_create([Membership(team=team, user=person) for team in teams])
        record(person, "create", person, after={"email": person.email, "role": person.role}, request=request)
        return person

    def on_authentication_error(self, request: HttpRequest, provider: Any, **kwargs: Any) -> None:
        raise ImmediateHttpResponse(company_refusal(request, _("The company sign-in did not finish.")))

    def get_connect_redirect_url(self, request: HttpRequest, socialaccount: Any) -> str:
        return reverse("profile")


class MFAAdapter(DefaultMFAAdapter):
    """Second factors, sealed at rest like every other secret."""

    error_messages = {
        **DefaultMFAAdapter.error_messages,
        "incorrect_code": gettext_lazy("That code is not right. A new one comes every 30 seconds."),
    }

    def encrypt(self, text: str) -> str:
        return vault.seal(text, *TOTP_PLACE)

    def decrypt(self, encrypted_text: str) -> str:
        return vault.unseal(encrypted_text, *TOTP_PLACE)


def default_role() -> str:
    """The setting's role; never owner, which only an owner gives."""
    wanted = settings.OIDC_DEFAULT_ROLE
    return wanted if wanted in Role.values and wanted != Role.OWNER else Role.MEMBER


def company_sign_in() -> str:
    """What the company's sign-in is called; empty when there is none."""
    return (settings.OIDC_NAME or "OpenID Connect") if settings.OIDC_SERVER_URL else ""


def record_failure(request: HttpRequest, email: str, *, throttled: bool = False) -> None:
    """At most one entry per person and address in five minutes: a flood must not fill the log."""
    seen = {f"failure:{email}:{client_address(request)}": Limit(1, PER_PLACE.seconds)}
    if throttle.take(seen, time.time()).allowed:
        person = User.objects.filter(email__iexact=email).first()
        named = Named("user", str(person.pk) if person else "", email[:200])
        record(None, "sign_in_failed", named, request=request, actor_name=email, note="throttled" if throttled else "")


def _limits(request: HttpRequest, email: str) -> dict[str, Limit]:
    if _is_known(request, email):
        return {f"known:{email}:{request.COOKIES[KNOWN_COOKIE]}": PER_PLACE}
    place = client_address(request)
    return {
        f"place:{email}:{place}": PER_PLACE,
        f"address:{place}": PER_ADDRESS,
        f"person:{email}": PER_PERSON,
    }


def _is_known(request: HttpRequest, email: str) -> bool:
    try:
        kept = signing.loads(request.COOKIES.get(KNOWN_COOKIE, ""), salt=KNOWN_COOKIE, max_age=KNOWN_SECONDS)
    except signing.BadSignature:
        return False
    return bool(kept == email)


def _verified_address(sociallogin: Any) -> str:
    found = next((address.email for address in sociallogin.email_addresses if address.verified), "")
    return str(found).strip().lower()


def company_refusal(request: HttpRequest, reason: str) -> HttpResponse:
    messages.error(request, reason)
    return render(request, "socialaccount/authentication_error.html", {"reason": reason}, status=403)

"""May she do this? One table of roles, one question, and the mark that every view carries.

A view, a socket action or an API operation without a declaration fails the build (tests/console/test_access.py) and is
refused at run time. An actor is read afresh for each request and each socket message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, TypeVar, cast
from urllib.parse import urlencode, urlsplit

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db.models import Model, Prefetch, prefetch_related_objects
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, resolve_url

from billing.models import Membership, Team
from console.models import Role, User

OWNER, ADMIN, EDITOR, FINANCE, MEMBER, VIEWER = (
    Role.OWNER,
    Role.ADMIN,
    Role.EDITOR,
    Role.FINANCE,
    Role.MEMBER,
    Role.VIEWER,
)
EVERYBODY = frozenset(Role)
ADMINS = frozenset({OWNER, ADMIN})
GATEWAY = ADMINS | {EDITOR}

# Who may do what, whatever the object. "see" of a member means their own and their team's: querysets narrow it.
ACTIONS: Mapping[str, frozenset[Role]] = {
    "overview.see": EVERYBODY,
    "profile.change": EVERYBODY,
    "play.see": GATEWAY | {MEMBER, VIEWER},
    "play.use": GATEWAY | {MEMBER},
    "prompts.see": GATEWAY | {MEMBER, VIEWER},
    "prompts.change": GATEWAY | {MEMBER},
    "providers.see": GATEWAY | {VIEWER},
    "providers.change": ADMINS,
    "models.see": GATEWAY | {MEMBER, VIEWER},
    "models.change": GATEWAY,
    "routing.see": GATEWAY | {VIEWER},
    "routing.change": GATEWAY,
    "flags.see": GATEWAY | {VIEWER},
    "flags.change": GATEWAY,
    "experiments.see": GATEWAY | {VIEWER},
    "experiments.change": GATEWAY,
    "requests.see": GATEWAY | {MEMBER, VIEWER},
    "requests.see_all": GATEWAY | {VIEWER},
    "requests.read_content": GATEWAY,  # of others; what one asked oneself, or one's team, needs no role
    "costs.see": EVERYBODY,
    "costs.see_all": GATEWAY | {FINANCE, VIEWER},
    "costs.export": ADMINS | {FINANCE},
    "budgets.see": ADMINS | {FINANCE, VIEWER},
    "budgets.change": ADMINS | {FINANCE},
    "health.see": GATEWAY | {MEMBER, VIEWER},
    "keys.see": ADMINS | {FINANCE, MEMBER},
    "keys.see_all": ADMINS | {FINANCE},
    "keys.change": ADMINS,
    "keys.make_own": ADMINS,  # and members, where their team allows it
    "teams.see": ADMINS | {FINANCE, VIEWER},
    "teams.see_all": ADMINS | {FINANCE, VIEWER},
    "teams.change": ADMINS,
    "teams.create": ADMINS,
    "teams.archive": ADMINS,
    "people.see": ADMINS | {VIEWER},
    "people.invite": ADMINS,
    "people.change": ADMINS,
    "audit.see": ADMINS,
    "settings.see": ADMINS | {VIEWER},
    "settings.change": ADMINS,
    "styleguide.see": EVERYBODY,
    "admin.use": frozenset({OWNER}),
}

# What a lead may do in the team they lead, whatever their role.
LEAD_ACTIONS = frozenset({"teams.see", "teams.change", "keys.see", "keys.change", "keys.make_own"})

# Nobody gives a role above their own, or changes a person who stands above them.
RANK: Mapping[str, int] = {OWNER: 4, ADMIN: 3, EDITOR: 2, FINANCE: 2, MEMBER: 1, VIEWER: 0}


def can(actor: Any, action: str, obj: Model | None = None) -> bool:
    """The one answer. `obj` narrows it: the team of a team action, the person of a people action."""
    allowed_roles = ACTIONS[action]  # a KeyError here is a misspelt action, not a refusal
    if not isinstance(actor, User) or not actor.is_active:
        return False
    if action == "people.change" and isinstance(obj, User):
        return actor.role in allowed_roles and RANK[actor.role] >= RANK[obj.role]
    if actor.role in allowed_roles:
        return True
    if action in LEAD_ACTIONS and _leads(actor, obj):
        return True
    return action in ("keys.make_own", "keys.see") and _team_lets_make_keys(actor, obj)


def can_give(actor: User, role: str) -> bool:
    """May `actor` give this role to somebody?"""
    return can(actor, "people.invite") and RANK[actor.role] >= RANK[role]


def memberships_of(actor: User) -> list[Membership]:
    """The live teams of a person, read once for one request."""
    prefetch_related_objects([actor], Prefetch("memberships", Membership.objects.select_related("team")))
    return [membership for membership in actor.memberships.all() if membership.team.archived_at is None]


def visible_teams(actor: User) -> Any:
    """The teams a person may open: all of them, or those they lead. Foreign ones answer 404."""
    if can(actor, "teams.see_all"):
        return Team.objects.all()
    return Team.objects.filter(memberships__user=actor, memberships__lead=True)


def _leads(actor: User, obj: Model | None) -> bool:
    led = {membership.team_id for membership in memberships_of(actor) if membership.lead}
    if obj is None:
        return bool(led)
    return (obj.pk if isinstance(obj, Team) else getattr(obj, "team_id", None)) in led


def _team_lets_make_keys(actor: User, obj: Model | None) -> bool:
    if actor.role == VIEWER:
        return False
    open_teams = {m.team_id for m in memberships_of(actor) if m.team.members_make_keys}
    return bool(open_teams) if obj is None else isinstance(obj, Team) and obj.pk in open_teams


# -- declarations -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a view asks of its visitor: nothing, to be signed in, or an action."""

    signed_in: bool
    action: str = ""

    def __post_init__(self) -> None:
        if self.action and self.action not in ACTIONS:
            raise LookupError(f"There is no action '{self.action}' in console/access.py.")


PUBLIC = Declaration(signed_in=False)
SIGNED_IN = Declaration(signed_in=True)


class NotAllowed(PermissionDenied):
    """Refused half-way through a view; the middleware shows the same page as a refusal at the door."""

    def __init__(self, action: str) -> None:
        super().__init__(action)
        self.action = action


View = TypeVar("View", bound=Callable[..., Any])


def needs(action: str) -> Callable[[View], View]:
    """The view needs this action of its visitor. Object by object, the view calls `require` as well."""
    return _marking(Declaration(signed_in=True, action=action))


def signed_in(view: View) -> View:
    return _marking(SIGNED_IN)(view)


def public(view: View) -> View:
    return _marking(PUBLIC)(view)


def require(request: HttpRequest, action: str, obj: Model | None = None) -> None:
    if not can(request.user, action, obj):
        raise NotAllowed(action)


def _marking(declaration: Declaration) -> Callable[[View], View]:
    def mark(view: View) -> View:
        if iscoroutinefunction(view):

            @wraps(view)
            async def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
                refusal = await sync_to_async(refusal_of)(request, declaration)
                return refusal if refusal is not None else await view(request, *args, **kwargs)

        else:

            @wraps(view)
            def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
                refusal = refusal_of(request, declaration)
                return refusal if refusal is not None else view(request, *args, **kwargs)

        guarded.access = declaration  # type: ignore[attr-defined]
        return cast(View, guarded)

    return mark


# Views that others wrote, by URL name or, with a colon, by namespace. The middleware enforces these.
DECLARED: Mapping[str, Declaration] = {
    "account_login": PUBLIC,
    "account_logout": SIGNED_IN,
    "account_reset_password": PUBLIC,
    "account_reset_password_done": PUBLIC,
    "account_reset_password_from_key": PUBLIC,
    "account_reset_password_from_key_done": PUBLIC,
    "account_change_password": SIGNED_IN,
    "account_set_password": SIGNED_IN,
    "account_reauthenticate": SIGNED_IN,
    "account_inactive": PUBLIC,
    "mfa_authenticate": PUBLIC,  # between password and session; allauth keeps the half-finished sign-in
    "mfa_reauthenticate": SIGNED_IN,
    "mfa_index": SIGNED_IN,
    "mfa_activate_totp": SIGNED_IN,
    "mfa_deactivate_totp": SIGNED_IN,
    "mfa_view_recovery_codes": SIGNED_IN,
    "mfa_generate_recovery_codes": SIGNED_IN,
    "mfa_download_recovery_codes": SIGNED_IN,
    "openid_connect_login": PUBLIC,
    "openid_connect_callback": PUBLIC,
    "socialaccount_login_error": PUBLIC,
    "socialaccount_login_cancelled": PUBLIC,
    "admin:": Declaration(signed_in=True, action="admin.use"),
}


def declaration_of(view: Callable[..., Any], name: str) -> Declaration | None:
    """What was declared for a view, by its mark, its URL name or its namespace."""
    marked = getattr(view, "access", None)
    if isinstance(marked, Declaration):
        return marked
    namespace, colon, _ = name.partition(":")
    return DECLARED.get(name) or DECLARED.get(namespace + colon)


# Socket actions ("socket:send") and API operations ("api:list_keys"), filled where they are written.
_actions: dict[str, Declaration] = {}


def declare_action(name: str, action: str) -> Declaration:
    """For what is not a view: `declare_action("socket:send", "play.use")`. The dispatcher asks `can` with it."""
    declaration = Declaration(signed_in=True, action=action)
    if _actions.setdefault(name, declaration) != declaration:
        raise LookupError(f"'{name}' is declared twice, differently.")
    return declaration


def declared_actions() -> Mapping[str, Declaration]:
    return dict(_actions)


# -- refusals -----------------------------------------------------------------


def refusal_of(request: HttpRequest, declaration: Declaration) -> HttpResponse | None:
    """None: come in. Otherwise the answer to give instead of the page."""
    if not declaration.signed_in:
        return None
    if not request.user.is_authenticated:
        return to_sign_in(request)
    if declaration.action and not can(request.user, declaration.action):
        from console.views.access import refused  # the page needs the templates, which need this module

        return refused(request, declaration.action)
    return None


def to_sign_in(request: HttpRequest) -> HttpResponse:
    """To the sign-in page and back; a fragment sends the whole page there."""
    if request.headers.get("HX-Request") == "true":
        here = urlsplit(request.headers.get("HX-Current-URL", "/"))
        wanted = here.path + (f"?{here.query}" if here.query else "")
        return HttpResponse(status=401, headers={"HX-Redirect": sign_in_address(wanted)})
    return redirect(sign_in_address(request.get_full_path() if request.method in ("GET", "HEAD") else ""))


def sign_in_address(wanted: str) -> str:
    address = resolve_url(settings.LOGIN_URL)
    return f"{address}?{urlencode({'next': wanted})}" if wanted not in ("", "/") else address

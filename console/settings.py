"""All settings. Each environment variable is read here, once, with a default that is safe.

`docs/settings.md` explains every one of them; a test fails when one is missing there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import environ
from csp.constants import NONE, SELF
from django.utils.translation import gettext_lazy as _

from console.environment import Environment
from console.state import kept_secret, prepare

BASE_DIR = Path(__file__).resolve().parent.parent
VERSION = "0.1.0"

env = Environment()
environ.Env.read_env(BASE_DIR / ".env", overwrite=False)

# -- where things are kept ----------------------------------------------------

RELAYHOUSE_STATE = prepare(Path(env.str("RELAYHOUSE_STATE", default=str(BASE_DIR / "var"))).absolute())
JOURNAL_FOLDER = RELAYHOUSE_STATE / "journal"

# Encrypts credentials: "id:base64,id:base64", the first one encrypts. Empty: made at first start in the state folder.
RELAYHOUSE_KEY_RING = env.str("RELAYHOUSE_KEY_RING", default="")
# Hashes API keys: "1:secret,2:secret", the last one hashes new keys. Separate, so that rotating the ring ends no key.
RELAYHOUSE_KEY_PEPPER = env.str("RELAYHOUSE_KEY_PEPPER", default="")

DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default="") or kept_secret(RELAYHOUSE_STATE / "keys" / "secret_key")

# -- who reaches us -----------------------------------------------------------

ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
SITE_URL = env.str("SITE_URL", default="")
HTTPS = env.bool("HTTPS", default=SITE_URL.startswith("https://"))
TRUSTED_PROXIES = env.list("TRUSTED_PROXIES", default=[])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[SITE_URL] if SITE_URL else [])
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_NAME = "relayhouse_session"
CSRF_COOKIE_NAME = "relayhouse_csrf"
CSRF_FAILURE_VIEW = "console.views.errors.csrf_failure"
SESSION_COOKIE_AGE = 60 * 60 * 24 * 30
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
SECURE_HSTS_SECONDS = 60 * 60 * 24 * 365 if HTTPS else 0
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

# -- what answers -------------------------------------------------------------

INSTALLED_APPS = [
    "console",  # first, because its `runserver` goes before those of the static file apps
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.sessions",
    "django.contrib.messages",
    "servestatic.runserver_nostatic",
    "django.contrib.staticfiles",
    "channels",
    "csp",
    "django_htmx",
    "template_partials.apps.SimpleAppConfig",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "providers",
    "billing",
    "routing",
]

MIDDLEWARE = [
    "console.middleware.request_id_middleware",
    "django.middleware.security.SecurityMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "console.middleware.PersonMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "console.middleware.AccessMiddleware",
]

ROOT_URLCONF = "console.urls"
ASGI_APPLICATION = "console.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "console.User"

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "console.context_processors.shell",
            ],
            "builtins": ["template_partials.templatetags.partials", "console.templatetags.console"],
            "loaders": [
                (
                    "template_partials.loader.Loader",
                    [
                        (
                            "django.template.loaders.cached.Loader",
                            [
                                "django.template.loaders.filesystem.Loader",
                                "django.template.loaders.app_directories.Loader",
                            ],
                        )
                    ],
                )
            ],
        },
    }
]

# -- storage ------------------------------------------------------------------

DATABASE_URL = env.str("DATABASE_URL", default=f"sqlite:///{RELAYHOUSE_STATE / 'relayhouse.sqlite3'}")
DATABASES = {"default": env.db_url_config(DATABASE_URL)}
ON_SQLITE = DATABASES["default"]["ENGINE"].endswith("sqlite3")
if not ON_SQLITE and not DATABASES["default"]["ENGINE"].endswith("postgresql"):
    raise SystemExit("DATABASE_URL must begin with sqlite:// or postgres://, as in postgres://user:password@host/name")
if ON_SQLITE:
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 10,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA busy_timeout=10000;",
    }
else:
    DATABASES["default"]["CONN_MAX_AGE"] = 60
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    DATABASES["default"]["OPTIONS"] = {
        "connect_timeout": 2,
        "options": "-c statement_timeout=10000 -c lock_timeout=5000 -c idle_in_transaction_session_timeout=60000",
    }

REDIS_URL = env.str("REDIS_URL", default="")

if REDIS_URL:
    CACHES: dict[str, Any] = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": REDIS_URL,
            "OPTIONS": {"socket_timeout": 0.1, "socket_connect_timeout": 0.1},
        }
    }
    CHANNEL_LAYERS: dict[str, Any] = {
        "default": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [REDIS_URL]}}
    }
else:
    # Login throttling must count across worker processes, so the cache without Redis is a database table's neighbour:
    # files in the state folder, which every process of this machine shares.
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
            "LOCATION": str(RELAYHOUSE_STATE / "cache"),
        }
    }
    CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}

# -- background work ----------------------------------------------------------

BROKER_FOLDER = RELAYHOUSE_STATE / "broker"
CELERY_BROKER_URL = REDIS_URL or "filesystem://localhost"
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = (
    {"socket_timeout": 5, "socket_connect_timeout": 1}
    if REDIS_URL
    else {
        "data_folder_in": str(BROKER_FOLDER / "queue"),
        "data_folder_out": str(BROKER_FOLDER / "queue"),
        "control_folder": str(BROKER_FOLDER / "control"),
        "store_processed": False,
    }
)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_REDIRECT_STDOUTS = False
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_TIME_LIMIT = 300
CELERY_TIMEZONE = "UTC"

# -- people -------------------------------------------------------------------

AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = [
    "console.passwords.BoundedArgon2",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_ADAPTER = "console.accounts.AccountAdapter"
SOCIALACCOUNT_ADAPTER = "console.accounts.SocialAccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"  # accounts come from an invitation to that address or from the company's sign-in
ACCOUNT_SESSION_REMEMBER = None
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = False
ACCOUNT_RATE_LIMITS = {"login": "30/m/ip", "login_failed": "10/m/ip,5/5m/key", "reset_password": "20/m/ip,5/m/key"}
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False  # no mail to strangers because somebody typed their address
ACCOUNT_FORMS = {
    "login": "console.forms.sign_in.SignInForm",
    "reset_password_from_key": "console.forms.sign_in.NewPasswordForm",
    "set_password": "console.forms.sign_in.FirstPasswordForm",
    "reauthenticate": "console.forms.sign_in.ReauthenticateForm",
    "reset_password": "console.forms.sign_in.ForgottenForm",
}
ACCOUNT_LOGIN_ON_PASSWORD_RESET = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
SOCIALACCOUNT_LOGIN_ON_GET = True  # a link: the Content-Security-Policy lets no form lead to another site
MFA_ADAPTER = "console.accounts.MFAAdapter"
MFA_FORMS = {
    "authenticate": "console.forms.sign_in.CodeForm",
    "reauthenticate": "console.forms.sign_in.CodeAgainForm",
    "activate_totp": "console.forms.sign_in.ActivateForm",
}
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "Relayhouse"

OIDC_NAME = env.str("OIDC_NAME", default="")
OIDC_SERVER_URL = env.str("OIDC_SERVER_URL", default="")
OIDC_CLIENT_ID = env.str("OIDC_CLIENT_ID", default="")
OIDC_CLIENT_SECRET = env.str("OIDC_CLIENT_SECRET", default="")
OIDC_DEFAULT_ROLE = env.str("OIDC_DEFAULT_ROLE", default="member")
SOCIALACCOUNT_PROVIDERS: dict[str, Any] = {}
if OIDC_SERVER_URL:
    SOCIALACCOUNT_PROVIDERS["openid_connect"] = {
        "OAUTH_PKCE_ENABLED": True,
        "APPS": [
            {
                "provider_id": "company",
                "name": OIDC_NAME or "OpenID Connect",
                "client_id": OIDC_CLIENT_ID,
                "secret": OIDC_CLIENT_SECRET,
                "settings": {"server_url": OIDC_SERVER_URL},
            }
        ],
    }

EMAIL_URL = env.str("EMAIL_URL", default="")
if EMAIL_URL:
    vars().update(env.email_url_config(EMAIL_URL))
else:
    EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
EMAIL_TIMEOUT = 5
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="Relayhouse <relayhouse@localhost>")

# -- words and numbers --------------------------------------------------------

LANGUAGES = [("en", _("English")), ("fr", _("French"))]
LANGUAGE_CODE = "en"
LOCALE_PATHS = [BASE_DIR / "locale"]
LANGUAGE_COOKIE_NAME = "relayhouse_language"
TIME_ZONE = "UTC"
USE_TZ = True

# -- files --------------------------------------------------------------------

STATIC_URL = "static/"
STATIC_ROOT = RELAYHOUSE_STATE / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
SERVESTATIC_USE_FINDERS = True
SERVESTATIC_AUTOREFRESH = DEBUG
SERVESTATIC_ALLOW_ALL_ORIGINS = False
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "servestatic.storage.CompressedManifestStaticFilesStorage"
    },
}

# Style attributes carry values only (`--v:65%`); everything else comes from our own files.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF],
        "style-src-attr": ["'unsafe-inline'"],
        "img-src": [SELF, "data:"],
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

# -- the gateway --------------------------------------------------------------

BODY_LIMIT = env.int("BODY_LIMIT", default=20 * 1024 * 1024)
DRAIN_SECONDS = env.int("DRAIN_SECONDS", default=60)
# Where the plain endpoints are: generate, providers, use-cases, cost-summary.
LLM_PREFIX = "/" + env.str("LLM_PREFIX", default="/llm").strip("/ ")
# What savings are reckoned against, as a model string. Empty: the dearest model that the asking key could use.
BASELINE_MODEL = env.str("BASELINE_MODEL", default="").strip()
# Private addresses that providers of a cloud kind may use, as networks: "10.1.0.0/16,192.168.7.5/32".
PRIVATE_NETWORKS = env.list("PRIVATE_NETWORKS", default=[])
# A file of further certificate authorities that the gateway trusts when it calls providers.
CA_BUNDLE = env.str("CA_BUNDLE", default="")
# Where to fetch the list of prices that genai-prices publishes. Empty: nobody is asked, the package's own copy is read.
PRICE_FEED_URL = env.str("PRICE_FEED_URL", default="").strip()
# How long what was asked and answered is kept, where a key or a team wants it kept at all.
CONTENT_DAYS = env.int("CONTENT_DAYS", default=30)
ENVIRONMENT_LABEL = env.str("ENVIRONMENT_LABEL", default="")

# Opens /metrics to whoever presents it as a bearer token. Without it only programs of this machine may read them.
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")

# -- what is written down -----------------------------------------------------

LOG_LEVEL = env.str("LOG_LEVEL", default="INFO").upper()
# One line of JSON an attempt, beside the other lines.
ATTEMPT_LOG = env.bool("ATTEMPT_LOG", default=True)
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "console.logs.Line"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        # Django's own handlers would write each record twice, and mail whole requests to ADMINS.
        "django": {"handlers": [], "propagate": True, "level": LOG_LEVEL},
        "django.request": {"level": "ERROR"},  # a 404 is the visitor's business
        "django.server": {"handlers": [], "propagate": True, "level": LOG_LEVEL},
        "uvicorn": {"handlers": [], "propagate": True, "level": "WARNING"},
        "celery": {"level": "WARNING"},
        "kombu": {"level": "WARNING"},
        "asyncio": {"level": "WARNING"},
        "aiohttp": {"level": "WARNING"},
        "httpx": {"level": "WARNING"},
        "daphne": {"level": "WARNING"},
    },
}

BRAND = {"name": "Relayhouse", "key_prefix": "rh"}

SILENCED_SYSTEM_CHECKS: list[str] = []

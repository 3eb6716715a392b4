"""The pages in French: no English left over, French typography, and numbers as they are written there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from django.test import Client
from django.utils import timezone, translation

from billing.ids import new_request_id, started_at
from billing.models import LedgerEntry, Request, Team
from console import audit
from console.models import Role, Room, User
from console.verdicts import in_words, order_in_words
from console.views.play import prompts
from deploy.machine import ROOT
from providers.demo.language import detect
from providers.listing import KEY_MISSING
from routing.decisions import Live
from routing.engine import decide
from tests.console.playing import finished_answer
from tests.decisions.reading import cases
from tests.factories import claim_house, make_provider, make_team, make_user

pytestmark = pytest.mark.django_db
CATALOGUE = ROOT / "locale" / "fr" / "LC_MESSAGES" / "django.po"
SPACE = "\u00a0"
# A plain space where French wants one that does not break, a typewriter's apostrophe, a space our type lacks.
MISTYPED = re.compile(r"[^\s\u00a0] [:;!?»]|« [^\u00a0]|\w[:;?!](?=\s|$)|\w'\w|\u202f")
NOT_FRENCH = re.compile(r"<[^>]+>|https?://\S*|\d:\d|Authorization: Bearer")
NAMES = {"Demo", "English"}  # a provider, and a language in its own words


def _read() -> Catalog:
    with CATALOGUE.open("rb") as source:
        return read_po(source, locale="fr")


def _pairs() -> Iterator[tuple[str, str]]:
    for message in _read():
        if message.id:
            english = message.id if isinstance(message.id, tuple | list) else (message.id,)
            french = message.string if isinstance(message.string, tuple | list) else (message.string,)
            yield from zip(english, french, strict=True)


@pytest.fixture
def catalogue(tmp_path: Path, settings: Any) -> None:
    """The catalogue as it is now, even where the set-up has not compiled it since it was changed."""
    folder = tmp_path / "fr" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    with (folder / "django.mo").open("wb") as target:
        write_mo(target, _read())
    settings.LOCALE_PATHS = [tmp_path]


@pytest.fixture
def aline(catalogue: None) -> User:
    return make_user("Aline", role="owner", language="fr", teams=[make_team("Recherche")], lead=True)


class Texts(HTMLParser):
    """Every text of a page that a person reads or hears, apart from code."""

    SPOKEN = ("aria-label", "placeholder", "title", "alt", "data-failed", "data-wait", "data-unreachable", "data-lost")
    SILENT = ("script", "style", "code", "pre", "kbd", "template")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.language = ""
        self._silent = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag == "html":
            self.language = named.get("lang") or ""
        self._silent += tag in self.SILENT
        self.found |= {value.strip() for name, value in attrs if name in self.SPOKEN and value}

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in self.SILENT

    def handle_data(self, data: str) -> None:
        if not self._silent and data.strip():
            self.found.add(re.sub(r"[ \t\n]+", " ", data).strip(" "))


def french(client: Client, path: str, status: int = 200, **headers: str) -> str:
    """The page, after looking at each of its texts."""
    answer = client.get(path, headers=headers)
    assert answer.status_code == status, answer
    page = str(answer.content.decode())
    texts = Texts(page)
    assert texts.language == "fr"
    english = {source for source, target in _pairs() if source != target} - {target for _source, target in _pairs()}
    left = {text for text in texts.found if text.removesuffix(" · Relayhouse") in english} - NAMES
    assert not left, f"{path} still says {left}"
    ours = {text for text in texts.found if "://" not in text and not text.startswith("Q: ")}  # a person's question
    mistyped = {text for text in ours if MISTYPED.search(text)}
    assert not mistyped, f"{path} is mistyped: {mistyped}"
    return page


# -- the catalogue ------------------------------------------------------------------


def test_every_text_is_translated_with_its_placeholders() -> None:
    catalogue = _read()
    for message in catalogue:
        if message.id:
            strings = message.string if isinstance(message.string, tuple | list) else (message.string,)
            assert all(strings), message.id
            assert not message.fuzzy, message.id
            assert not list(message.check(catalogue)), message.id


def test_every_translation_is_typeset_as_french_is() -> None:
    for source, target in _pairs():
        if not source.startswith("d MMM"):  # a pattern, not words
            assert not MISTYPED.search(NOT_FRENCH.sub("", target)), target
        assert source[:1].isspace() == target[:1].isspace(), source
        assert source[-1:].isspace() == target[-1:].isspace(), source


# -- the pages ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/", "Vue d’ensemble"),
        ("/play/", "Que doit faire un modèle ?"),
        ("/teams/", "Équipes"),
        ("/teams/?q=zzz", "Aucune équipe ne porte un nom comme « zzz »."),
        ("/teams/recherche/", "Ajouter un membre"),
        ("/teams/recherche/?open=archive", "Archiver Recherche ?"),
        ("/new-team/", "Créer une équipe"),
        ("/people/", "Dernière visite"),
        ("/people/?state=invited", "Aucune invitation en cours"),
        ("/people/invite/", "Il sert une fois, pendant sept jours."),
        ("/profile/", "Langue et apparence"),
        ("/settings/general/", "Comment se comporte cette installation."),
        ("/settings/sign-in/", "Connexion et e-mail"),
        ("/settings/about/", "Base de données"),
        ("/accounts/2fa/", "Double authentification"),
        ("/accounts/logout/", "Se déconnecter ?"),
    ],
)
def test_the_owner_reads_french(path: str, words: str, aline: User, signed_in: Any) -> None:
    assert words in french(signed_in(aline), path).replace(SPACE, " ").replace("&nbsp;", " ")


@pytest.mark.parametrize("path", ["/", "/play/", "/teams/", "/people/", "/settings/general/", "/profile/"])
def test_who_may_only_look_reads_french(path: str, aline: User, signed_in: Any) -> None:
    vera = make_user("Véra", role="viewer", language="fr")
    french(signed_in(vera), path)


def test_a_person_is_shown_in_french(aline: User, signed_in: Any) -> None:
    bob = make_user("Bob", teams=[Team.objects.get()])
    page = french(signed_in(aline), f"/people/{bob.pk}/?open=deactivate")
    assert f"Désactiver Bob{SPACE}?" in page
    assert "Membre" in page


def test_what_cannot_be_reached_says_so_in_french(aline: User, signed_in: Any) -> None:
    assert "Il n’y a rien à cette adresse" in french(signed_in(aline), "/rien/", 404)
    charlie = make_user("Charlie", language="fr")
    assert "Cette page demande un autre rôle" in french(signed_in(charlie), "/people/", 403)


@pytest.mark.parametrize("path", ["/accounts/login/", "/accounts/password/reset/", "/welcome/"])
def test_a_browser_that_asks_for_french_gets_it_at_the_door(path: str, catalogue: None, client: Client) -> None:
    if path != "/welcome/":
        claim_house()
    french(client, path, accept_language="fr-CA,fr;q=0.9,en;q=0.5")


def test_a_form_is_refused_in_french(aline: User, signed_in: Any) -> None:
    answer = signed_in(aline).post("/new-team/", {"name": ""})
    page = answer.content.decode()
    assert answer.status_code == 422
    assert f"Nom{SPACE}: Ce champ est obligatoire." in page


def test_the_language_of_the_person_wins_over_that_of_the_browser(aline: User, signed_in: Any) -> None:
    client = signed_in(aline)
    french(client, "/", accept_language="en")
    aline.language = "en"
    aline.save()
    assert "<h1>Overview</h1>" in client.get("/", headers={"accept-language": "fr"}).content.decode()


def test_a_mail_is_written_in_french(catalogue: None, settings: Any, mailoutbox: list[Any], signed_in: Any) -> None:
    settings.EMAIL_URL = "smtp://127.0.0.1:25"
    make_user("Aline", role="owner")
    bob = make_user("Bob", language="fr")
    signed_in(bob).post("/access/ask/", {"action": "people.see"})
    assert mailoutbox[0].subject == "Bob demande un accès"
    assert mailoutbox[0].body.startswith("Bob (bob@example.org) souhaite faire dans ")


# -- what was done, and what it cost ---------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "told"),
    [("create", "a créé l’équipe Recherche"), ("archive", "a archivé l’équipe Recherche")],
)
def test_changes_are_whole_sentences(verb: str, told: str, aline: User, signed_in: Any) -> None:
    audit.record(aline, verb, Team.objects.get())
    assert told in french(signed_in(aline), "/")


def test_every_verb_and_every_kind_make_a_french_sentence(catalogue: None) -> None:
    with translation.override("fr"):
        assert all(re.match(r"(a|n’a) |a$", str(words)) for words in audit.VERBS.values())
        assert all(re.match(r"(le|la) |l’", str(words)) for words in audit.KINDS.values())


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        (KEY_MISSING, "Clé d’API manquante"),
        ("the environment variable MISTRAL_API_KEY is not set", "La variable d’environnement MISTRAL_API_KEY"),
    ],
)
def test_a_provider_says_in_french_why_it_cannot_answer(kept: str, told: str, aline: User, signed_in: Any) -> None:
    make_provider("Mistral", "mistral", inactive_reason=kept)
    assert told in french(signed_in(aline), "/")


def test_every_verdict_of_the_engine_can_be_said_in_french(catalogue: None) -> None:
    verdicts = {
        candidate.verdict
        for case in cases()
        for candidate in decide(case.ask, case.snapshot, Live(), now=timezone.now()).candidates
    }
    assert len(verdicts) > 10
    with translation.override("fr"):
        assert {verdict for verdict in verdicts if in_words(verdict) == verdict} == set()
        assert in_words("Mistral is inactive: API key missing") == f"Mistral est inactif{SPACE}: Clé d’API manquante"
        assert order_in_words("mistral, then groq") == "mistral, puis groq"


def test_figures_are_written_as_in_french(aline: User, signed_in: Any) -> None:
    at = timezone.now()
    shared = {"started_at": at, "purpose": "api", "user_id": aline.pk}
    Request.objects.create(id="req_1", status="ok", asked_model="m", **shared)
    LedgerEntry.objects.create(
        id="req_1-1/charge/0", request_id="req_1", attempt_id="req_1-1", kind="charge", booked_at=at, provider="p",
        model="m", usage_source="provider", amount_nano=2_615_810_000_000, currency="EUR", **shared,
    )  # fmt: skip
    page = french(signed_in(aline), "/")
    assert f"2{SPACE}615,81{SPACE}€" in page
    assert f"100{SPACE}%" in page


def test_an_answer_is_measured_in_french(aline: User, signed_in: Any) -> None:
    room = Room.objects.create(owner=aline, title="Essai", model="demo:relay-1")
    finished_answer(
        room, "Bonjour à vous.", first_token_ms=1234, duration_ms=3234, input_tokens=1284, output_tokens=2400,
        amount_nano=3_100_000, currency="EUR", ended_at=timezone.now(),
    )  # fmt: skip
    page = french(signed_in(aline), f"/play/{room.pk}/")
    for figure in (f"1,2{SPACE}s", f"1{SPACE}200", f"1{SPACE}284", f"2{SPACE}400", f"0,0031{SPACE}€"):
        assert f">{figure}</b>" in page


def test_why_a_model_answered_is_told_in_french(aline: User, signed_in: Any) -> None:
    request_id = new_request_id()
    room = Room.objects.create(owner=aline)
    written = finished_answer(room, "Bonjour", provider="azure", model="gpt-4o", request_id=request_id)
    candidates = [
        {"model": "openai:gpt-4o", "usable": False, "verdict": "OpenAI is switched off"},
        {"model": "azure:gpt-4o", "usable": True, "verdict": "first, priority 20"},
    ]
    Request.objects.create(
        id=request_id, started_at=started_at(request_id), status="ok", asked_model="gpt-4o", purpose="chat",
        decision={"reason": "BARE gpt-4o: azure, then groq", "candidates": candidates},
    )  # fmt: skip
    page = french(signed_in(aline), f"/play/{room.pk}/why/{written.pk}/")
    assert "OpenAI est désactivé" in page
    assert f"gpt-4o{SPACE}: azure, puis groq" in page
    assert "Un modèle a été nommé, sans fournisseur" in page


# -- the demonstration ----------------------------------------------------------------


def test_the_prompts_offered_are_french_and_understood_as_such(catalogue: None) -> None:
    with translation.override("fr"):
        offered = prompts()
    assert len(offered) == 3
    assert [detect(prompt) for prompt in offered] == ["fr"] * 3


def test_every_role_has_a_french_name(catalogue: None) -> None:
    with translation.override("fr"):
        assert [str(role.label) for role in Role] == [
            "Propriétaire",
            "Admin",
            "Responsable de la passerelle",
            "Finances",
            "Membre",
            "Consultation",
        ]

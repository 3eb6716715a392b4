"""Files that say something wrong, and what the documentation shows of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from billing.models import Team
from console.models import AuditEntry
from providers.models import Provider, current_revision
from tests import factories
from tests.console.files import Files

pytestmark = pytest.mark.django_db


# -- bad files ------------------------------------------------------------------------


BAD = """
organisation: {currency: euro, time_zone: Europe/Pariss, colour: red}
providers:
  - name: mine
    kind: vlm
    base_ur: http://127.0.0.1:1/v1
    priority: high
  - name: Mine
    kind: vllm
    base_url: mailto:somebody
    models:
      - {id: a, context: -4}
      - {id: a, prices: [{input: 1}]}
  - kind: openai
    base_url: http://api.example.org/v1
    enabled: yes
  - name: auto
    kind: azure-openai
    api_key: 42
aliases:
  fast: mine
  auto: mine:a
teams: {name: Data}
"""


@pytest.mark.store
def test_a_bad_file_changes_nothing_and_lists_every_fault_with_its_path(files: Files) -> None:
    before = (Provider.objects.count(), Team.objects.count(), AuditEntry.objects.count(), current_revision()[0])
    faults = files.refused(BAD)
    paths = [fault.partition(": ")[0] for fault in faults]
    assert sorted(paths) == sorted(
        [
            "organisation.currency",
            "organisation.time_zone",
            "organisation.colour",
            "providers[0].kind",
            "providers[0].base_ur",
            "providers[0].priority",
            "providers[1]",
            "providers[1].base_url",
            "providers[1].models[0].context",
            "providers[1].models[1]",
            "providers[1].models[1].prices[0].output",
            "providers[2].name",
            "providers[2].base_url",
            "providers[2].enabled",
            "providers[3].name",
            "providers[3].api_key",
            "aliases.fast",
            "aliases.auto",
            "teams",
        ]
    )
    text = "\n".join(faults)
    assert "'vlm' is no kind of provider. Nearest: vllm." in text
    assert "providers[0].base_ur: unknown key. Nearest: base_url" in text
    assert "providers[0].priority: is a text, not a whole number." in text
    assert "providers[1]: the provider 'mine' is declared before, at providers[0]." in text
    assert "'Europe/Pariss' is not known here. Nearest: Europe/Paris," in text
    after = (Provider.objects.count(), Team.objects.count(), AuditEntry.objects.count(), current_revision()[0])
    assert before == after


BOMB = "a0: &a0 [1, 2]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 30))


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", "the file is empty."),
        ("- 1\n", "the file is a list, not a mapping of sections."),
        ("providers:\n  - name: a\n   kind: b\n", "line 3, column 4"),
        ("a: &x [*x]\n", "line 1, column 4"),
        (BOMB, "the file has too many values, or refers to itself"),
        ("providers: !!python/object:os.system {}\n", "line 1, column 12"),
        ("a: 1\na: 2\n", "a: stands here twice."),
        ("a: \x07\n", "line 1: the character U+0007 may not stand in YAML"),
        ("provider: []\n", "provider: unknown key. Nearest: providers, "),
    ],
)
def test_what_is_no_configuration_says_where(files: Files, content: str, fault: str) -> None:
    assert any(each.startswith(fault) for each in files.refused(content))


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ('{"providers": [\n  {"name": "a" "b"}\n]}', "line 2, column 16"),
        ('{"providers": [], "providers": []}', "providers: stands here twice."),
        ('{"providers": NaN}', "NaN is no number that JSON knows"),
        ("[" * 100_000, "the file is nested too deeply"),
        (r'{"teams": [{"name": "\ud800"}]}', "the text '\\ud800' has half a character in it"),
        (
            '{"LLMProviders": {"Providers": [{"Type": "OpenAi2", "Name": "x"}]}}',
            "LLMProviders.Providers[0].Type: 'OpenAi2'",
        ),
        (
            '{"LLMProviders": {"Routing": {"HealthCheckInterval": "soon"}}}',
            "LLMProviders.Routing.HealthCheckInterval: ",
        ),
        ('{"LLMProviders": {"Provider": []}}', "LLMProviders.Provider: unknown key. Nearest: Providers."),
    ],
)
def test_faults_of_json(files: Files, content: str, fault: str) -> None:
    assert any(each.startswith(fault) for each in files.refused(content))


def test_faults_that_only_the_house_can_tell(files: Files) -> None:
    team = factories.make_team("Old")
    team.archived_at = factories.LONG_AGO
    team.save()
    faults = files.refused(
        {
            "organisation": {"default_model": "opnai:gpt-4o"},
            "aliases": {"fast": "mine:a"},
            "teams": [{"name": "Old"}],
            "providers": [{"name": "azure", "kind": "azure-openai"}, {"name": "openai", "kind": "qwen"}],
        }
    )
    assert faults == [
        "organisation.default_model: 'opnai' in 'opnai:gpt-4o' is no provider. Nearest: openai.",
        "providers[0]: a provider of kind azure-openai needs `base_url`.",
        "aliases.fast: 'mine' is no provider.",
        "teams[0]: the team 'Old' is archived: restore it first.",
    ]


def test_yaml_is_read_without_surprises(files: Files) -> None:
    files.apply("teams:\n  - name: no\n  - name: 12:30\n  - name: on\n")
    assert set(Team.objects.values_list("name", flat=True)) == {"no", "12:30", "on"}


def test_a_file_that_is_not_there(files: Files) -> None:
    with pytest.raises(CommandError, match="cannot be read: No such file"):
        call_command("apply", str(files.folder / "none.yaml"))


# -- the documentation ------------------------------------------------------------------

PAGES = [Path(__file__).parents[2] / "docs" / name for name in ("configuration-files.md", "fr/configuration-files.md")]
EXAMPLES = [
    pytest.param(block, id=f"{page.parent.name}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"```(?:yaml|json)\n(.*?)```", page.read_text(), re.DOTALL))
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_in_the_docs_is_applied(files: Files, example: str) -> None:
    files.apply(example)
    assert "Nothing to change." in files.apply(example)


def test_the_faults_in_the_docs_are_those_that_are_printed(files: Files) -> None:
    bad = "providers: [{name: mine, kind: vlm, base_ur: x}, {name: Mine, kind: vllm}]"
    printed = "\n".join(f"  {fault}" for fault in files.refused(bad))
    for page in PAGES:
        assert printed.replace(", kind, slug.", ".") in page.read_text()

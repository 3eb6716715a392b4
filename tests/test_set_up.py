"""The set-up itself, in a copy of the clone: what it needs, what it makes, and that being interrupted does no harm."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import checks, commands, machine, messages, set_up, translations
from deploy.say import Stop
from tests.promises.counts import FULL
from tests.services import free_port

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = shutil.ignore_patterns(
    ".venv", ".git", "node_modules", "var", "vendor", "fonts", "__pycache__", ".*_cache", "*.mo", ".hypothesis"
)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What is in version control, and nothing that was made here."""
    return Path(shutil.copytree(ROOT, tmp_path / "clone", ignore=LEFT_OUT))


@pytest.fixture
def bare_path(tmp_path: Path) -> str:
    """A PATH with a shell and coreutils, without Node, npm and other Pythons."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "env", "make", "sed", "cat", "uname", "ls"):
        found = shutil.which(name)
        if found:
            (folder / name).symlink_to(found)
    (folder / "python3").symlink_to(Path(sys.base_prefix) / "bin" / "python3")
    return str(folder)


def make(clone: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    # As a person types it, also when these tests were themselves started by make.
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        ["make", *words], cwd=clone, env=own | environment, capture_output=True, text=True, timeout=300
    )


# -- one sentence with the remedy -------------------------------------------------------------------------------


def test_make_alone_lists_the_commands() -> None:
    done = make(ROOT)
    assert [line.split()[1] for line in done.stdout.splitlines()] == list(commands.COMMANDS)


def test_a_missing_python_is_named(bare_path: str) -> None:
    (Path(bare_path) / "python3").unlink()
    done = make(ROOT, "run", PATH=bare_path)
    assert done.returncode != 0
    assert "apt-get install python3 python3-venv" in done.stdout


@pytest.mark.parametrize("port", ["http", "0", "70000"])
def test_a_port_that_is_none_is_named(clone: Path, port: str) -> None:
    done = make(clone, "run", f"PORT={port}")
    assert done.returncode != 0
    assert "make run PORT=8123" in done.stderr
    assert not (clone / ".venv").exists()


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE", "pip config list"),
        ("OSError: [Errno 28] No space left on device", "free about 1 GB"),
        ("ERROR: No matching distribution found for django==5.2.19", "Check the connection"),
        ("No module named pip", "remove .venv"),
        ("something nobody has seen before", "something nobody has seen before"),
    ],
)
def test_what_pip_says_becomes_a_remedy(said: str, remedy: str) -> None:
    assert remedy in set_up.why_pip_failed(said)


def test_a_package_index_that_cannot_be_reached_is_named(clone: Path) -> None:
    nowhere = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1", "PIP_RETRIES": "0", "PIP_FIND_LINKS": ""}
    nowhere |= {"PIP_INDEX_URL": f"http://127.0.0.1:{free_port()}/", "PIP_EXTRA_INDEX_URL": ""}
    done = make(clone, "run", **nowhere)
    assert done.returncode != 0
    assert "could not be fetched" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (clone / ".venv" / "unfinished").exists()


def test_a_python_without_venv_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(Stop, match=r"apt-get install python3\.\d+-venv"):
        machine.require_python()


# -- the whole of it --------------------------------------------------------------------------------------------


@pytest.fixture
def started(clone: Path, bare_path: str) -> Iterator[subprocess.Popen[str]]:
    """`make run`, killed in the middle of installing and started again, on a machine without Node."""
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RELAYHOUSE", "SECRET"))}
    environment |= {"PATH": bare_path, "PORT": str(port), "LOG_LEVEL": "WARNING"}
    command = ["make", "run"]
    with (clone / "first.log").open("w") as log:
        first = subprocess.Popen(command, cwd=clone, env=environment, stdout=log, stderr=log, start_new_session=True)
        packages = clone / ".venv" / "lib"
        deadline = time.monotonic() + 120
        while len(list(packages.glob("*/site-packages/*"))) < 20:
            assert first.poll() is None, (clone / "first.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    assert (clone / ".venv" / "unfinished").exists()
    with (clone / "second.log").open("w") as log:
        second = subprocess.Popen(
            command, cwd=clone, env=environment, stdout=log, stderr=log, text=True, start_new_session=True
        )
    try:
        yield second
    finally:
        os.killpg(second.pid, signal.SIGTERM)
        second.wait(30)


@pytest.mark.promise
@pytest.mark.skipif(not FULL, reason="asks the package indexes: `make prove` does")
def test_an_interrupted_set_up_completes(clone: Path, started: subprocess.Popen[str]) -> None:
    log = clone / "second.log"
    deadline = time.monotonic() + 240
    while "\nOpen http://127.0.0.1:" not in log.read_text():
        assert started.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
    assert log.read_text().count("Open ") == 1
    for file in set_up.BROWSER_FILES:
        assert (clone / file).stat().st_size > 0
    assert not (clone / ".venv" / "unfinished").exists()
    assert (clone / "var").stat().st_mode & 0o777 == 0o700


# -- translations -----------------------------------------------------------------------------------------------

CATALOGUE = """msgid ""
msgstr ""
"Content-Type: text/plain; charset=UTF-8\\n"
"Plural-Forms: nplurals=2; plural=n > 1;\\n"

msgid "People"
msgstr "Personnes"

msgid "Teams"
msgstr ""

#, fuzzy
msgid "Costs"
msgstr "Coût"

#, python-format
msgid "%(count)s calls"
msgstr "%(cuont)s appels"
"""


def test_texts_without_a_finished_translation_are_found(tmp_path: Path) -> None:
    file = tmp_path / "fr" / "LC_MESSAGES" / "django.po"
    file.parent.mkdir(parents=True)
    file.write_text(CATALOGUE)
    faults = list(translations.faults_of(file))
    assert len(faults) == 3
    assert "not translated: 'Teams'" in faults
    assert "guessed, not translated: 'Costs'" in faults
    assert any("%(count)s calls" in fault for fault in faults)


def test_translations_are_compiled_without_guesses(tmp_path: Path) -> None:
    import gettext

    file = tmp_path / "fr" / "LC_MESSAGES" / "django.po"
    file.parent.mkdir(parents=True)
    file.write_text(CATALOGUE)
    messages.compile_file(file)
    with file.with_suffix(".mo").open("rb") as compiled:
        known = gettext.GNUTranslations(compiled)
    assert known.gettext("People") == "Personnes"
    assert known.gettext("Costs") == "Costs"


def test_every_check_has_a_tool() -> None:
    assert {"format", "lint", "types", "layers", "migrations", "translations", "templates"} <= set(checks.CHECKS)

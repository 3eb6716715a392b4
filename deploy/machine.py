"""What does this machine have, and how is the rest got?"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from deploy.say import Stop, step

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def require_python() -> None:
    """The interpreter can make virtual environments."""
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        raise Stop(
            f"This Python has no {' and no '.join(missing)}. Get it, then run the same command again: "
            f"apt-get install python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        )


def is_debian_root() -> bool:
    return os.geteuid() == 0 and platform.system() == "Linux" and shutil.which("apt-get") is not None


def has_postgres() -> bool:
    return shutil.which("initdb") is not None or any(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


def has_redis() -> bool:
    return any(shutil.which(name) for name in ("redis-server", "valkey-server"))


def has_chromium() -> bool:
    return any(shutil.which(name) for name in CHROMIUM)


def has_gettext() -> bool:
    return all(shutil.which(name) for name in ("xgettext", "msgmerge", "msguniq", "msgattrib"))


TOOLS = {
    # Debian's package, and how to see that it is there.
    "postgresql": has_postgres,
    "redis-server": has_redis,
    "chromium": has_chromium,
    "gettext": has_gettext,
}


def fetch_tools(*packages: str) -> list[str]:
    """Install what is missing where that is ours to do. What is missing still."""
    missing = [name for name in packages if not TOOLS[name]()]
    if missing and is_debian_root():
        with step(f"Debian's {', '.join(missing)}"):
            apt(missing)
        missing = [name for name in missing if not TOOLS[name]()]
    return missing


def apt(packages: list[str]) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *packages]):
        subprocess.run(  # a failure shows itself: the tool is still missing afterwards
            ["apt-get", *words], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

"""`python3 -m deploy run|test|check|fix|bench|prove|clean`: the commands of the Makefile.

This file has to be understood by old Pythons too, so that they can say what is missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

OLDEST = (3, 11)
NEWER = ("python3.11", "python3.12", "python3.13", "python3.14")


def main() -> None:
    os.chdir(str(Path(__file__).resolve().parent.parent))
    if sys.version_info < OLDEST:
        change_to_a_newer_python()
    from deploy import commands
    from deploy.say import Stop

    if len(sys.argv) != 2 or sys.argv[1] not in commands.COMMANDS:
        sys.exit("usage: python3 -m deploy " + "|".join(commands.COMMANDS))
    try:
        sys.exit(commands.COMMANDS[sys.argv[1]]())
    except Stop as stop:
        sys.exit("\n" + str(stop))
    except KeyboardInterrupt:
        sys.exit("\nInterrupted. Run the same command again: it goes on where it was.")


def change_to_a_newer_python() -> None:
    for name in NEWER:
        found = shutil.which(name)
        if found and subprocess.call([found, "-c", ""], stderr=subprocess.DEVNULL) == 0:
            os.execv(found, [found, "-m", "deploy", *sys.argv[1:]])
    sys.exit(
        "Relayhouse needs Python 3.11 or newer, and this is {}.{}: apt-get install python3.11 python3.11-venv".format(
            *sys.version_info
        )
    )


if __name__ == "__main__":
    main()

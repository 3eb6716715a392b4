"""`python -m deploy.messages FILE.po …`: compile translations with Babel. Runs in the virtual environment."""

from __future__ import annotations

import sys
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po


def compile_file(file: Path) -> None:
    with file.open("rb") as source:
        catalogue = read_po(source, locale=file.parent.parent.name, domain=file.stem)
    draft = file.with_name(f".{file.stem}.mo")
    with draft.open("wb") as target:
        write_mo(target, catalogue, use_fuzzy=False)
    draft.replace(file.with_suffix(".mo"))


if __name__ == "__main__":
    for name in sys.argv[1:]:
        compile_file(Path(name))

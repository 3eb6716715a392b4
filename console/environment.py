"""Environment variables, read so that a slip is told in a sentence and not in a traceback."""

from __future__ import annotations

from typing import Any

import environ


class Environment(environ.Env):  # type: ignore[misc]
    def int(self, var: str, *args: Any, **kwargs: Any) -> int:
        """A number of seconds or bytes; none of ours is ever less than nothing."""
        try:
            number: int = super().int(var, *args, **kwargs)
        except ValueError:
            number = -1
        if number < 0:
            raise SystemExit(f"{var} must be a whole number, not '{self.ENVIRON.get(var, '')[:40]}'.")
        return number

"""How busy and how quick is each target, as this process sees it? Kept in memory, and forgotten when nobody asks."""

from __future__ import annotations

from routing.decisions import Live

NEWEST = 0.2  # the share of the newest first token in the average
MOST = 5000  # targets


class Load:
    def __init__(self) -> None:
        self.running: dict[str, int] = {}
        self.first_token_ms: dict[str, float] = {}
        self.live = Live(self.first_token_ms, self.running)  # sees every change

    def begin(self, target: str) -> None:
        self.running[target] = self.running.get(target, 0) + 1

    def end(self, target: str, first_token_ms: int | None) -> None:
        left = self.running.get(target, 0) - 1
        if left > 0:
            self.running[target] = left
        else:
            self.running.pop(target, None)
        if first_token_ms is not None:
            self._measure(target, first_token_ms)

    def _measure(self, target: str, milliseconds: int) -> None:
        known = self.first_token_ms.get(target)
        if known is None:
            if len(self.first_token_ms) >= MOST:
                self.first_token_ms.pop(next(iter(self.first_token_ms)))
            self.first_token_ms[target] = float(milliseconds)
        else:
            self.first_token_ms[target] = known + NEWEST * (milliseconds - known)

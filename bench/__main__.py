"""What does the gateway cost? Measured beside nginx as a plain proxy and beside the floor, in one run on this machine.

    python -m bench                    all of it, about two minutes
    python -m bench plain streams      only these parts
    python -m bench --sqlite           the ledger in SQLite instead of a throw-away Postgres

The server does everything it does in production: API key, decision, durable journal, ledger. CPU is that of the whole
process tree (web worker, supervisor, background work), read from /proc. Rounds are interleaved; medians are printed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from bench import load, processes
from bench.stage import Stage

BARS = {
    "plain": "at most 0.30 ms CPU a request (aim 0.18), p99 under 40 ms",
    "streams": "at most 70 ms CPU per 1,000 events (aim 55)",
    "latency": "p50 added at most 1 ms at four connections",
    "memory": "a web worker at most 120 MB",
    "start": "from `serve` to the first 200 at most 3 s",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[[], *BARS], help="which parts; all when none is named")
    parser.add_argument("--requests", type=int, default=6000, help="requests a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=1000)
    parser.add_argument("--sqlite", action="store_true")
    options = parser.parse_args()
    parts = options.parts or list(BARS)
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    with Stage(database="sqlite" if options.sqlite else "postgres") as stage:
        warm_up(stage)
        for part in parts:
            print(f"\n{part}: {BARS[part]}")
            MEASURES[part](stage, options)


def warm_up(stage: Stage) -> None:
    for name in targets(stage):
        asyncio.run(loaded(stage, name, requests=500, connections=8).run(8))


def targets(stage: Stage) -> list[str]:
    return [name for name in ("nginx", "floor", "relayhouse") if name in stage.ports]


def loaded(stage: Stage, name: str, *, requests: int, connections: int, stream: bool = False) -> load.Load:
    model = "bench:bench-1" if name == "relayhouse" else "bench-1"
    return load.Load(stage.ports[name], stage.key, load.body(model, stream=stream), requests=requests)


def cpu_of(stage: Stage, name: str, run: Callable[[], load.Result]) -> tuple[float, load.Result]:
    """CPU seconds the target used for one run, until it is at rest again: the ledger is loaded after the answers."""
    pid = stage.processes[name].pid
    before = processes.cpu_seconds(processes.tree(pid))
    result = run()
    if name == "relayhouse":
        time.sleep(0.5)
    used = processes.cpu_seconds(processes.tree(pid)) - before
    if result.failed:
        print(f"  {name}: {result.failed} of {len(result.seconds)} answers were not 200: {result.first_failure!r}")
    return used, result


def plain(stage: Stage, options: argparse.Namespace) -> None:
    costs: dict[str, list[float]] = {name: [] for name in targets(stage)}
    results: dict[str, list[load.Result]] = {name: [] for name in targets(stage)}
    for _ in range(options.rounds):
        for name in costs:
            work = loaded(stage, name, requests=options.requests, connections=32)
            used, result = cpu_of(stage, name, lambda work=work: asyncio.run(work.run(32)))
            costs[name].append(used / options.requests * 1000)
            results[name].append(result)
    for name, values in costs.items():
        p99 = statistics.median(result.at(0.99) for result in results[name]) * 1000
        rate = statistics.median(len(result.seconds) / result.elapsed for result in results[name])
        print(f"  {name:11}{spread(values)} ms CPU a request   p99 {p99:5.1f} ms   {rate:6.0f} answers/s")


def streams(stage: Stage, options: argparse.Namespace) -> None:
    costs: dict[str, list[float]] = {name: [] for name in targets(stage)}
    for _ in range(options.rounds):
        for name in costs:
            work = loaded(stage, name, requests=8, connections=8, stream=True)
            used, result = cpu_of(stage, name, lambda work=work: asyncio.run(work.run(8)))
            costs[name].append(used / len(result.seconds) / options.events * 1_000_000)
    for name, values in costs.items():
        print(f"  {name:11}{spread(values, 1)} ms CPU per 1,000 events")


def latency(stage: Stage, options: argparse.Namespace) -> None:
    direct, through = [], []
    for _ in range(options.rounds):
        for name, found in (("upstream", direct), ("relayhouse", through)):
            work = loaded(stage, name, requests=1500, connections=4)
            found.append(asyncio.run(work.run(4)))
    for share, label in ((0.5, "p50"), (0.99, "p99")):
        own = statistics.median(r.at(share) for r in direct) * 1000
        ours = statistics.median(r.at(share) for r in through) * 1000
        print(f"  {label}: {own:.2f} ms without, {ours:.2f} ms through the gateway, {ours - own:.2f} ms added")


def memory(stage: Stage, options: argparse.Namespace) -> None:
    for pid in processes.tree(stage.processes["relayhouse"].pid):
        print(f"  {processes.resident_mb(pid):6.1f} MB  {processes.command(pid)[:100]}")


def start(stage: Stage, options: argparse.Namespace) -> None:
    print(f"  {stage.start_seconds:.2f} s")


def spread(values: list[float], digits: int = 3) -> str:
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:8.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


MEASURES: dict[str, Callable[[Stage, argparse.Namespace], None]] = {
    "plain": plain,
    "streams": streams,
    "latency": latency,
    "memory": memory,
    "start": start,
}

if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(str(error))

"""Everything a measurement needs, started on free ports of this machine and stopped again: see `Stage`."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from bench import processes
from tests.services import postgres_server

BACKGROUND_SECONDS = 6.0
ROOT = Path(__file__).resolve().parent.parent

NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log error;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream up {{ server 127.0.0.1:{upstream}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Stage:
    """A fast upstream, a throw-away Postgres, and the three things to compare: nginx, the floor, Relayhouse."""

    def __init__(self, *, workers: int = 1, gap: float = 4.0, database: str = "postgres") -> None:
        self.workers = workers
        self.gap = gap
        self.database = database
        self.stack = ExitStack()
        self.ports: dict[str, int] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.key = ""
        self.start_seconds = 0.0

    def __enter__(self) -> Stage:
        try:
            self._start()
        except BaseException:
            self.stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stack.close()

    def _start(self) -> None:
        self.folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        self.environment = os.environ | {"RELAYHOUSE_STATE": str(self.folder / "state"), "LOG_LEVEL": "WARNING"}
        if self.database == "postgres":
            self.environment["DATABASE_URL"] = self.stack.enter_context(postgres_server())
        up = self._spawn("upstream", ["-m", "bench.upstream", "--gap", str(self.gap)])
        self._await_port(up)
        self._configure(up)
        began = time.perf_counter()
        self._spawn("relayhouse", ["manage.py", "serve", "--workers", str(self.workers)])
        self._await_answer(self.ports["relayhouse"])
        self.start_seconds = time.perf_counter() - began
        self.started = time.monotonic()
        self.environment |= {"BENCH_UPSTREAM": f"http://127.0.0.1:{up}", "BENCH_KEY": self.key}
        floor = ["-m", "uvicorn", "bench.floor:application", "--no-access-log", "--log-level", "warning"]
        self._await_port(self._spawn("floor", [*floor, "--no-server-header"]))
        if shutil.which("nginx"):
            self._start_nginx(up)
        self._await_rest()

    def _configure(self, upstream: int) -> None:
        declared = {
            "providers": [{"name": "bench", "kind": "vllm", "base_url": f"http://127.0.0.1:{upstream}/v1"}],
        }
        file = self.folder / "bench.json"
        file.write_text(json.dumps(declared))
        self._manage("migrate", "-v0")
        self._manage("apply", str(file), "--yes")
        self.key = self._manage("key", "create", "--team", "Bench", "--name", "bench").strip()

    def _manage(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *words], cwd=ROOT, env=self.environment, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"manage.py {' '.join(words)}\n{done.stdout}{done.stderr}")
        return done.stdout

    def _spawn(self, name: str, words: list[str]) -> int:
        port = self.ports[name] = free_port()
        command = [sys.executable, *words, "--port", str(port)]
        process = self.processes[name] = subprocess.Popen(command, cwd=ROOT, env=self.environment)
        self.stack.callback(_stop, process)
        return port

    def _start_nginx(self, upstream: int) -> None:
        port = self.ports["nginx"] = free_port()
        folder = self.folder / f"nginx-{secrets.token_hex(2)}"
        folder.mkdir()
        folder.chmod(0o777)
        self.folder.chmod(0o755)
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, upstream=upstream, port=port))
        process = subprocess.Popen(["nginx", "-c", str(folder / "nginx.conf")], stderr=subprocess.DEVNULL)
        self.processes["nginx"] = process
        self.stack.callback(_stop, process)
        self._await_port(port)

    def _await_rest(self) -> None:
        """Background work starts a little later than the web workers; what its start costs is no request's."""
        pid = self.processes["relayhouse"].pid
        deadline = time.monotonic() + 30
        used = -1.0
        while time.monotonic() < deadline:
            before, used = used, processes.cpu_seconds(processes.tree(pid))
            if time.monotonic() - self.started > BACKGROUND_SECONDS and used - before < 0.03:
                return
            time.sleep(0.5)

    @staticmethod
    def _await_port(port: int) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.02)
        raise SystemExit(f"Nothing listens on port {port} after 20 seconds.")

    @staticmethod
    def _await_answer(port: int) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/live", timeout=1) as reply:
                    if reply.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                time.sleep(0.02)
        raise SystemExit("The server did not answer within 30 seconds.")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

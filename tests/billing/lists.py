"""A public price list in miniature, as its project publishes it, on a server of its own."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def listing(**models: Any) -> bytes:
    """`listing(alpha={"input_mtok": 1.5, "output_mtok": 3})`: of one provider, OpenAI."""
    told = [{"id": name, "match": {"equals": name}, "prices": prices} for name, prices in models.items()]
    return json.dumps(
        [{"id": "openai", "name": "OpenAI", "api_pattern": "https://api\\.openai\\.com", "models": told}]
    ).encode()


class Lists:
    """What the next request gets. `status` 302 sends it elsewhere."""

    def __init__(self) -> None:
        self.body, self.status, self.asked = b"[]", 200, 0
        self.url = ""


@contextmanager
def published_lists() -> Iterator[Lists]:
    lists = Lists()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            lists.asked += 1
            self.send_response(lists.status)
            if lists.status == 302:
                self.send_header("Location", lists.url + "?again")
            self.send_header("Content-Length", str(len(lists.body)))
            self.end_headers()
            self.wfile.write(lists.body)

        def log_message(self, *_: Any) -> None:
            """Nothing on the console."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    lists.url = f"http://127.0.0.1:{server.server_address[1]}/data.json"
    try:
        yield lists
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

"""A company's sign-in on this machine: a small OpenID Connect issuer that vouches for whom the test names."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt

SECRET = "test-secret-of-the-company-sign-in"


class Issuer:
    """`with Issuer() as issuer:` serves at `issuer.url`; `issuer.claims` is what it says about the visitor."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.refuses = False
        self.fails_at = ""
        issuer = self

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.answer(self, "")

            def do_POST(self) -> None:
                issuer.answer(self, self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())

            def log_message(self, *words: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> Issuer:
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def answer(self, request: BaseHTTPRequestHandler, body: str) -> None:
        parts = urlsplit(request.path)
        name = parts.path.strip("/").split("/")[-1]
        if name == self.fails_at:
            return self.send(request, {"error": "server_error"}, 500)
        if name == "openid-configuration":
            return self.send(request, self.configuration())
        if name == "token":
            asked = {key: values[0] for key, values in parse_qs(body).items()}
            return self.send(request, *self.token(asked, request.headers.get("Authorization", "")))
        if name == "userinfo" and request.headers.get("Authorization") == "Bearer test-access":
            return self.send(request, self.claims)
        return self.send(request, {"error": "not_found"}, 404)

    def authorize(self, address: str) -> str:
        """What the browser does at the issuer: the address it comes back to."""
        asked = {key: values[0] for key, values in parse_qs(urlsplit(address).query).items()}
        if self.refuses:
            answer = {"error": "access_denied", "state": asked["state"]}
        else:
            code = f"code-{len(self.codes)}"
            self.codes[code] = asked
            answer = {"code": code, "state": asked["state"]}
        return f"{urlsplit(asked['redirect_uri']).path}?{urlencode(answer)}"

    def configuration(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "userinfo_endpoint": f"{self.url}/userinfo",
            "jwks_uri": f"{self.url}/jwks",
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
        }

    def token(self, asked: dict[str, str], authorization: str) -> tuple[dict[str, Any], int]:
        begun = self.codes.pop(asked.get("code", ""), None)
        digest = hashlib.sha256(asked.get("code_verifier", "").encode()).digest()
        proven = begun and base64.urlsafe_b64encode(digest).decode().rstrip("=") == begun.get("code_challenge")
        if not proven or asked.get("client_secret") != SECRET:
            return {"error": "invalid_grant"}, 400
        about = {"iss": self.url, "aud": asked["client_id"], "exp": time.time() + 60, "iat": time.time(), **self.claims}
        return {"access_token": "test-access", "token_type": "Bearer", "id_token": jwt.encode(about, SECRET)}, 200

    @staticmethod
    def send(request: BaseHTTPRequestHandler, value: Any, status: int = 200) -> None:
        body = json.dumps(value).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

"""A small identity provider (OpenID Connect), in a process of its own: honest, or not.

It lets everybody in as ``ann``. ``/lie?...`` tells it how its next token is to be wrong: claims in
place of the true ones (``aud=other``, ``exp=-600``: seconds from now), ``key=other`` (signed with a
key it does not publish under the name of its own), ``alg=none``, ``alg=HS256`` (with the published
key as the secret), ``token=none``.
"""

import base64
import contextlib
import hashlib
import hmac
import json
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

import requests
import uvicorn
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from lab import ROOT
from lab.waiting import wait_for

SECRET = "a secret of the tests"


class Provider:
    """Its keys, and the codes it gave out."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"}, private=True)
        self.codes: dict[str, dict[str, str]] = {}
        self.lie: dict[str, str] = {}

    def about(self, _: Request) -> Response:
        ends = {"authorization_endpoint": "auth", "token_endpoint": "token", "jwks_uri": "keys"}
        return JSONResponse(
            {"issuer": self.issuer, **{k: f"{self.issuer}/{v}" for k, v in ends.items()}}
        )

    def keys(self, _: Request) -> Response:
        return JSONResponse({"keys": [self.key.as_dict(private=False)]})

    def auth(self, request: Request) -> Response:
        asked = dict(request.query_params)
        assert asked["response_type"] == "code" and asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe()
        self.codes[code] = asked
        return RedirectResponse(f"{asked['redirect_uri']}?code={code}&state={asked['state']}", 303)

    async def told(self, request: Request) -> Response:
        self.lie = dict(request.query_params)
        return PlainTextResponse("so be it")

    async def token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        asked = self.codes.pop(form["code"], None)
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        basic = base64.b64encode(f"port25:{SECRET.replace(' ', '+')}".encode()).decode()
        plain = base64.b64encode(f"port25:{SECRET}".encode()).decode()
        given = request.headers.get("Authorization", "").removeprefix("Basic ")
        if asked is None or asked["code_challenge"] != challenge or given not in (basic, plain):
            return JSONResponse({"error": "invalid_grant"}, 400)
        answer = {"access_token": "x", "token_type": "Bearer", "expires_in": 60}
        if self.lie.get("token") != "none":
            answer["id_token"] = self.id_token(asked)
        self.lie = {}
        return JSONResponse(answer)

    def id_token(self, asked: dict[str, str]) -> str:
        lie, now = dict(self.lie), int(time.time())
        claims: dict[str, Any] = {
            "iss": self.issuer, "sub": "4711", "aud": asked["client_id"], "iat": now,
            "exp": now + 300, "nonce": asked["nonce"], "preferred_username": "ann",
            "groups": ["staff", "abuse-desk"],
        }  # fmt: skip
        key, alg = lie.pop("key", "own"), lie.pop("alg", "RS256")
        for name, value in lie.items():
            claims[name] = now + int(value) if name in ("exp", "iat") else value
        header = {"alg": alg, "kid": "one"}
        if alg in ("none", "HS256"):
            texts = [base64.urlsafe_b64encode(json.dumps(p).encode()) for p in (header, claims)]
            text = b".".join(one.rstrip(b"=") for one in texts)
            signature = hmac.digest(self.key.as_pem(private=False), text, "sha256")
            signed = base64.urlsafe_b64encode(signature).rstrip(b"=")
            return (text + b"." + (signed if alg == "HS256" else b"")).decode()
        signing = self.key if key == "own" else RSAKey.generate_key(2048, {"kid": "one"})
        return jwt.encode(header, claims, signing, algorithms=["RS256"])


def main(port: int) -> None:
    one = Provider(f"http://127.0.0.1:{port}")
    routes = [
        Route("/.well-known/openid-configuration", one.about),
        Route("/keys", one.keys),
        Route("/auth", one.auth),
        Route("/token", one.token, methods=["POST"]),
        Route("/lie", one.told),
    ]
    uvicorn.run(Starlette(routes=routes), port=port, log_level="warning")


@contextlib.contextmanager
def providing() -> Iterator[str]:
    """Its issuer's address, until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    command = [sys.executable, "-m", "lab.identity", str(port)]
    with subprocess.Popen(command, cwd=ROOT) as process:
        issuer = f"http://127.0.0.1:{port}"

        def answers() -> bool:
            with contextlib.suppress(requests.RequestException):
                return requests.get(f"{issuer}/keys", timeout=5).ok
            return False

        try:
            wait_for(answers, 20, "the identity provider")
            yield issuer
        finally:
            process.terminate()
            process.wait(300)


if __name__ == "__main__":
    main(int(sys.argv[1]))

"""Logging in at an identity provider (OpenID Connect Core 1.0, code flow with PKCE).

authlib speaks to the provider and knows what its tokens must say; joserfc, which comes with it, the
signatures. What is refused is counted by reason, and the person is told no more than that reason.

    state      nobody began this login here, or another browser did, or it took too long
    provider   the identity provider cannot be asked, or refused
    token      it gave no token, or one that is none
    signature  the token is signed by nobody it names, or not with a key
    issuer     it is another provider's
    audience   it is for another program
    expired    it is too old, or of the future
    nonce      it is of another login
    claims     something else in it is missing or wrong
    name       it names nobody, or somebody whom the settings know as another
    group      none of the person's groups may
"""

import collections
import hmac
import re
import secrets
import threading
import time
from collections import Counter
from typing import Any, Final, NamedTuple

from sensor.base.access import OidcSettings, Person, WebSettings
from sensor.base.secret_file import read_secret

__all__ = ["Begun", "Oidc", "OidcError"]

_ALGORITHMS: Final = ("RS256", "PS256", "ES256", "EdDSA")
_PATIENCE: Final = 10.0
"""Seconds for the identity provider to answer."""
_PENDING: Final = 1000
"""Logins begun and not ended; the oldest go first."""
_LONGEST: Final = 600.0
"""Seconds that one may take."""
_KEYS_AGE: Final = 10.0
"""Seconds until keys are asked for again, where a token names one that is not known."""
_LEEWAY: Final = 60
"""Seconds that clocks may differ."""
_CLAIMS: Final = {"iss": "issuer", "aud": "audience", "azp": "audience", "nonce": "nonce",
                  "exp": "expired", "iat": "expired", "nbf": "expired"}  # fmt: skip


class OidcError(Exception):
    """The login is refused; ``reason`` is one of those above, the text says more, for the log."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Begun(NamedTuple):
    """A login that was begun: where the browser is to go, and what it must bring back."""

    url: str
    binding: str


class _Pending(NamedTuple):
    binding: str
    nonce: str
    verifier: str
    redirect: str
    until: float


class Oidc:
    """The identity provider of the settings. Methods wait for the network: not on the loop."""

    def __init__(self, settings: WebSettings) -> None:
        self._settings: OidcSettings = settings.oidc
        self._users = {user.name for user in settings.users}
        self._secret = None
        if self._settings.issuer and (file := self._settings.client_secret_file):
            self._secret = read_secret(file).decode()
        self._lock = threading.Lock()
        self._pending: collections.OrderedDict[str, _Pending] = collections.OrderedDict()
        self._about: dict[str, Any] | None = None
        self._keys: tuple[float, Any] | None = None
        self.refused: Counter[str] = Counter()
        """logins, by reason"""

    def begin(self, redirect: str) -> Begun:
        """Begin a login. Raises OidcError."""
        try:
            endpoint = self._discovered()["authorization_endpoint"]
        except OidcError as error:
            self.refused[error.reason] += 1
            raise
        state, nonce, verifier, binding = (secrets.token_urlsafe(32) for _ in range(4))
        with self._lock:
            until = time.monotonic() + _LONGEST
            self._pending[state] = _Pending(binding, nonce, verifier, redirect, until)
            while len(self._pending) > _PENDING:
                self._pending.popitem(last=False)
        session = self._session(redirect)
        url, _ = session.create_authorization_url(
            endpoint, state=state, nonce=nonce, code_verifier=verifier
        )
        return Begun(url, binding)

    def end(self, given: dict[str, str], binding: str) -> Person:
        """Who came back with what the provider gave. Raises OidcError."""
        try:
            return self._end(given, binding)
        except OidcError as error:
            with self._lock:
                self.refused[error.reason] += 1
            raise

    def _end(self, given: dict[str, str], binding: str) -> Person:
        with self._lock:
            pending = self._pending.pop(given.get("state", ""), None)
        if pending is None or time.monotonic() > pending.until:
            raise OidcError("state", "no login of this state was begun, or it took too long")
        if not hmac.compare_digest(pending.binding.encode(), binding.encode()):
            raise OidcError("state", "another browser began this login")
        if given.get("iss", self._settings.issuer) != self._settings.issuer:  # RFC 9207
            raise OidcError("issuer", f"the answer is of {given['iss']}")
        if "error" in given or "code" not in given:
            raise OidcError("provider", given.get("error", "it gave no code"))
        token = self._exchanged(given["code"], pending)
        return self._person(self._claims(token, pending.nonce))

    # --- the network ------------------------------------------------------------------------------

    def _session(self, redirect: str) -> Any:
        from authlib.integrations.requests_client import OAuth2Session

        of, secret = self._settings, self._secret
        session = OAuth2Session(
            of.client_id, secret, scope=" ".join(of.scopes), redirect_uri=redirect,
            token_endpoint_auth_method="client_secret_basic" if secret else "none",
            code_challenge_method="S256", default_timeout=_PATIENCE,
        )  # fmt: skip
        if of.ca_file:
            session.verify = of.ca_file
        return session

    def _asked(self, url: str) -> dict[str, Any]:
        import requests

        try:
            answer = requests.get(url, timeout=_PATIENCE, verify=self._settings.ca_file or True)
            answer.raise_for_status()
            found = answer.json()
        except (requests.RequestException, ValueError, OSError) as error:
            raise OidcError("provider", f"{url}: {error}") from None
        if not isinstance(found, dict):
            raise OidcError("provider", f"{url}: expected an object")
        return found

    def _discovered(self) -> dict[str, Any]:
        """What the provider says of itself (OpenID Connect Discovery 1.0), asked for once."""
        if self._about is None:
            issuer = self._settings.issuer
            about = self._asked(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
            if about.get("issuer") != issuer:
                raise OidcError("issuer", f"it calls itself {about.get('issuer')!r}, not {issuer}")
            wanted = ("authorization_endpoint", "token_endpoint", "jwks_uri")
            if missing := [name for name in wanted if not isinstance(about.get(name), str)]:
                raise OidcError("provider", f"it does not tell its {missing[0]}")
            self._about = about
        return self._about

    def _exchanged(self, code: str, pending: _Pending) -> dict[str, Any]:
        from authlib.integrations.base_client import OAuthError
        from requests import RequestException

        try:
            token = self._session(pending.redirect).fetch_token(
                self._discovered()["token_endpoint"], code=code, code_verifier=pending.verifier
            )
        except (OAuthError, RequestException, ValueError, OSError) as error:
            raise OidcError("provider", f"the code was not taken: {error}") from None
        if not isinstance(token.get("id_token"), str):
            raise OidcError("token", "there is no id_token")
        return dict(token)

    def _key_set(self, fresh: bool) -> Any:
        from joserfc.jwk import KeySet

        now = time.monotonic()
        if self._keys is None or (fresh and now > self._keys[0] + _KEYS_AGE):
            try:
                keys = KeySet.import_key_set(self._asked(self._discovered()["jwks_uri"]))
            except (KeyError, TypeError, ValueError) as error:
                raise OidcError("provider", f"its keys: {error}") from None
            self._keys = now, keys
        return self._keys[1]

    # --- what the token says ----------------------------------------------------------------------

    def _decoded(self, text: str) -> Any:
        from joserfc import jwt
        from joserfc.errors import InvalidKeyIdError

        try:
            return jwt.decode(text, self._key_set(fresh=False), algorithms=_ALGORITHMS)
        except InvalidKeyIdError:  # keys are changed now and then
            return jwt.decode(text, self._key_set(fresh=True), algorithms=_ALGORITHMS)

    def _claims(self, token: dict[str, Any], nonce: str) -> dict[str, Any]:
        from authlib.oidc.core import CodeIDToken
        from joserfc.errors import ClaimError, DecodeError, ExpiredTokenError, JoseError

        of = self._settings
        try:
            decoded = self._decoded(token["id_token"])
        except DecodeError as error:
            raise OidcError("token", f"the id_token is none: {error}") from None
        except (JoseError, ValueError) as error:
            raise OidcError("signature", f"the id_token: {error}") from None
        options = {
            "iss": {"essential": True, "value": of.issuer},
            "aud": {"essential": True, "value": of.client_id},
        }
        params = {"nonce": nonce, "client_id": of.client_id, "access_token": token["access_token"]}
        claims = CodeIDToken(decoded.claims, decoded.header, options, params)
        try:
            claims.validate(leeway=_LEEWAY)
        except ExpiredTokenError as error:
            raise OidcError("expired", str(error)) from None
        except ClaimError as error:
            raise OidcError(_CLAIMS.get(error.claim, "claims"), str(error)) from None
        except (JoseError, ValueError, TypeError) as error:
            raise OidcError("claims", str(error)) from None
        return dict(claims)

    def _person(self, claims: dict[str, Any]) -> Person:
        of = self._settings
        name = claims.get(of.name_claim) or claims["sub"]
        if not isinstance(name, str) or not re.fullmatch(r"[\w.@-]{1,64}", name):
            raise OidcError("name", f"{str(name)[:100]!r} is no name (web.oidc.name_claim)")
        if name in self._users:
            raise OidcError("name", f"{name}: the settings have a user of this name (web.users)")
        mine = claims.get(of.groups_claim, [])
        mine = [mine] if isinstance(mine, str) else mine
        if isinstance(mine, list):
            for group in of.groups:
                if group.group in mine:
                    return Person(name, group.role, group.prefixes)
        raise OidcError("group", f"{name}: none of their groups is in web.oidc.groups")

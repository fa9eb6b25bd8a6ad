"""Who calls, and may they? Bearer tokens, client certificates, and one table of methods and roles.

The libraries that read tokens and keys are loaded with the first key: a router that takes none starts without them.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from router.config import ConfigError, Settings
from router.dispatch.caller import ACD, AGENT, ROLES, SUBMITTER, SUPERVISOR, Caller
from router.domain.errors import PermissionDenied, Unauthenticated
from router.domain.routing import ID_RULE, valid_id

_OFFICE = frozenset({SUBMITTER, SUPERVISOR})
_DESKTOP = frozenset({AGENT})
_BOSS = frozenset({SUPERVISOR})
_FEED = frozenset({ACD, SUPERVISOR})
_READERS = frozenset({AGENT, SUBMITTER, SUPERVISOR})


def _service(name: str, methods: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    return {f"/router.v1.{name}/{method}": roles for method, roles in methods.items()}


METHOD_ROLES: Mapping[str, frozenset[str]] = {
    **_service(
        "TaskService",
        {
            "SubmitTask": _OFFICE,
            "BatchSubmitTasks": _OFFICE,
            "SubmitTasks": _OFFICE,
            "GetTask": _OFFICE,
            "ListTasks": _OFFICE,
            "UpdateTask": _OFFICE,
            "CancelTask": _OFFICE,
            "ReviveTask": _BOSS,
            "WatchTasks": _OFFICE,
            "CreateWorkType": _OFFICE,
            "GetWorkType": _READERS,
            "ListWorkTypes": _READERS,
            "UpdateWorkType": _OFFICE,
            "DeleteWorkType": _OFFICE,
        },
    ),
    **_service(
        "AgentService",
        {
            "Session": _DESKTOP,
            "GetNextTask": _DESKTOP,
            "AcceptOffer": _DESKTOP,
            "DeclineOffer": _DESKTOP,
            "CheckpointTask": _DESKTOP,
            "CompleteTask": _DESKTOP,
            "ParkTask": _DESKTOP,
            "ResumeTask": _DESKTOP,
            "ExtendLease": _DESKTOP,
            "ReleaseTask": _DESKTOP,
            "Heartbeat": _DESKTOP,
            "GetAgent": _DESKTOP | _BOSS,
            "ListAgents": _BOSS,
            "CreateAgent": _BOSS,
            "UpdateAgent": _BOSS,
            "DeleteAgent": _BOSS,
        },
    ),
    **_service("TelephonyService", {"Report": frozenset({ACD}), "GetFeedStatus": _FEED, "ListFeeds": _FEED}),
    **_service(
        "SupervisionService",
        dict.fromkeys(
            (
                "GetPolicy",
                "ListPolicyVersions",
                "ValidatePolicy",
                "UpdatePolicy",
                "ActivatePolicy",
                "RollbackPolicy",
                "SetShadowPolicy",
                "GetPolicyComparison",
                "ReplayPolicy",
                "SimulatePolicy",
                "GetFigures",
                "WatchFigures",
                "SetGate",
                "ReassignTask",
                "ReprioritizeTask",
                "PauseQueue",
                "ResumeQueue",
                "ListQueues",
                "DrainAgent",
                "UndrainAgent",
                "RecallAgents",
                "ExplainTask",
                "ExplainAgent",
                "ListBlendingGroups",
            ),
            _BOSS,
        ),
    ),
}
"""Which roles may call which method. A method that is not in it is refused to everybody."""

OPEN_SERVICES = ("/grpc.health.v1.Health/", "/grpc.reflection.v1alpha.ServerReflection/")
"""Answered without credentials: they tell nothing of any site."""

WIDEST_FIRST = (SUPERVISOR, SUBMITTER, ACD, AGENT)
"""Which role counts where credentials carry several that would do."""

DEV_PREFIX = "dev:"
CERTIFICATE_SCHEME = "workrouter://"
_CACHE_LIMIT = 10_000
_MIN_SECRET_BYTES = 32
_LEEWAY_S = 5

_caller: ContextVar[Caller] = ContextVar("caller")


def caller() -> Caller:
    """Who makes the call that is being served."""
    return _caller.get()


def set_caller(who: Caller) -> None:
    """Remember who calls, for the rest of this call's task."""
    _caller.set(who)


@dataclass(frozen=True, slots=True)
class Identity:
    """What credentials say: one person or system of one site, with one or more roles."""

    site: str
    id: str
    roles: frozenset[str]
    _callers: dict[str, Caller] = field(default_factory=dict, compare=False, repr=False)

    def acting_in(self, method: str) -> Caller:
        """The caller in a role that may call the method; PermissionDenied if there is none."""
        known = self._callers.get(method)
        if known is None:
            known = self._callers[method] = self._in_role_for(method)
        return known

    def _in_role_for(self, method: str) -> Caller:
        fitting = self.roles & METHOD_ROLES.get(method, frozenset())
        for role in WIDEST_FIRST:
            if role in fitting:
                return Caller(self.site, role, self.id)
        held, name = ", ".join(sorted(self.roles)), method.rpartition("/")[2]
        allowed = " or ".join(role for role in ROLES if role in METHOD_ROLES.get(method, ()))
        words = f"{name} is for {allowed or 'nobody'}, not for {held}: use other credentials"
        raise PermissionDenied(words, "ROLE_NOT_ALLOWED", role=held)


class Authenticator:
    """Turns credentials into an identity. Verified tokens are remembered until they expire."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._dev = settings.dev_tokens
        self._keys = KeySet.load(settings.jwt_key) if settings.jwt_key else None
        self._audience = settings.jwt_audience
        self._issuer = settings.jwt_issuer
        self._clock = clock
        self._known: dict[str, tuple[float, Identity]] = {}

    def identify(self, authorization: str, certificate: Mapping[str, Iterable[bytes]]) -> Identity:
        """Who holds these credentials; a token counts before a certificate. Raises Unauthenticated."""
        if authorization:
            scheme, _, token = authorization.partition(" ")
            if scheme.lower() != "bearer" or not token:
                raise _refused("the authorization header must read: Bearer <token>")
            return self._by_token(token.strip())
        if identity := identity_of_certificate(certificate):
            return identity
        raise _refused(f"no credentials; send authorization: Bearer {self._example()}")

    def _example(self) -> str:
        return "dev:<site>:<role>:<id>" if self._dev else "<token>" if self._keys else "a client certificate"

    def _by_token(self, token: str) -> Identity:
        known = self._known.get(token)
        if known and self._clock() < known[0]:
            return known[1]
        return self._by_dev_token(token) if token.startswith(DEV_PREFIX) else self._verify(token)

    def _by_dev_token(self, token: str) -> Identity:
        parts = token.split(":")
        if not self._dev:
            raise _refused("development tokens are not accepted here")
        if len(parts) != 4:
            raise _refused("a development token reads dev:<site>:<role>:<id>")
        return self._remember(token, _identity(parts[1], parts[3], [parts[2]]), math.inf)

    def _verify(self, token: str) -> Identity:
        if self._keys is None:
            raise _refused(f"this router takes no such tokens; send {self._example()}")
        import jwt

        try:
            key, algorithm = self._keys.for_token(token)
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._audience or None,
                issuer=self._issuer or None,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "sub", "site"], "verify_aud": bool(self._audience)},
            )
        except jwt.ExpiredSignatureError:
            raise _refused("the token has expired") from None
        except (jwt.PyJWTError, ValueError, KeyError):
            raise _refused("the token is not valid") from None
        roles = claims.get("roles", claims.get("role", []))
        identity = _identity(claims["site"], claims["sub"], [roles] if isinstance(roles, str) else roles)
        return self._remember(token, identity, float(claims["exp"]) + _LEEWAY_S)

    def _remember(self, token: str, identity: Identity, until_s: float) -> Identity:
        if len(self._known) >= _CACHE_LIMIT:
            self._known.clear()
        self._known[token] = (until_s, identity)
        return identity


@dataclass(frozen=True, slots=True)
class KeySet:
    """Keys that verify tokens, each with the one algorithm that it is for; '' where a token names no key."""

    keys: Mapping[str, tuple[Any, str]]

    def for_token(self, token: str) -> tuple[Any, str]:
        """The key that the token names, or the only one. Raises KeyError."""
        if len(self.keys) == 1:
            return next(iter(self.keys.values()))
        import jwt

        return self.keys[jwt.get_unverified_header(token)["kid"]]

    @classmethod
    def load(cls, path: Path) -> KeySet:
        """Read a PEM public key, a JWKS or a shared secret. Raises ConfigError."""
        import jwt

        text = path.read_bytes().strip()
        try:
            if text.startswith(b"-----BEGIN"):
                return cls({"": _public_key(text)})
            if text.startswith(b"{"):
                return cls(_json_keys(text))
        except (ValueError, KeyError, jwt.PyJWTError) as error:
            raise _bad_key(f"the file {str(path)!r} holds no usable key ({error})") from None
        if len(text) < _MIN_SECRET_BYTES:
            raise _bad_key(f"the secret has {len(text)} bytes; make one of {_MIN_SECRET_BYTES} or more")
        return cls({"": (text, "HS256")})


def identity_of_certificate(certificate: Mapping[str, Iterable[bytes]]) -> Identity | None:
    """The identity in a verified client certificate: `workrouter://site/role/id` as a URI or the common name."""
    for name in ("x509_uri", "x509_subject_alternative_name", "x509_common_name"):
        for value in certificate.get(name) or ():
            text = value.decode("utf-8", "replace")
            if text.startswith(CERTIFICATE_SCHEME):
                parts = text.removeprefix(CERTIFICATE_SCHEME).split("/")
                if len(parts) != 3:
                    raise _refused("a certificate's name reads workrouter://<site>/<role>/<id>")
                return _identity(parts[0], parts[2], [parts[1]])
    return None


def _identity(site: Any, id: Any, roles: Any) -> Identity:
    if not isinstance(site, str) or not valid_id(site):
        raise _refused(f"the credentials name no valid site; {ID_RULE}")
    if not isinstance(id, str) or not valid_id(id):
        raise _refused(f"the credentials name no valid subject; {ID_RULE}")
    known = frozenset(role for role in roles if role in ROLES) if isinstance(roles, list) else frozenset()
    if not known:
        raise _refused(f"the credentials name no role; roles are {', '.join(ROLES)}")
    return Identity(site, id, known)


def _public_key(pem: bytes) -> tuple[Any, str]:
    if b"PRIVATE KEY" in pem:
        raise ValueError("it is a private key; give the public one")
    if b"CERTIFICATE" in pem:
        raise ValueError("it is a certificate; give its public key: openssl x509 -pubkey -noout")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    key = serialization.load_pem_public_key(pem)
    if isinstance(key, RSAPublicKey):
        return key, "RS256"
    if isinstance(key, EllipticCurvePublicKey) and key.curve.name == "secp256r1":
        return key, "ES256"
    raise ValueError("it is neither an RSA nor a P-256 key")


def _json_keys(text: bytes) -> dict[str, tuple[Any, str]]:
    import jwt

    keys = {}
    for entry in json.loads(text)["keys"]:
        key = jwt.PyJWK(entry)
        if entry.get("kty") not in ("RSA", "EC") or key.algorithm_name not in ("RS256", "ES256"):
            raise ValueError(f"key {entry.get('kid', '')!r} is not for RS256 or ES256")
        keys[key.key_id or ""] = (key.key, key.algorithm_name)
    if not keys:
        raise ValueError("it lists none")
    return keys


def _bad_key(text: str) -> ConfigError:
    return ConfigError([("jwt_key", text)])


def _refused(text: str) -> Unauthenticated:
    return Unauthenticated(text)

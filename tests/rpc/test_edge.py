"""What every call passes: identity, roles, decoding, deadlines, and errors that tell nothing of us."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from grpc_health.v1 import health_pb2, health_pb2_grpc

from router.app import build
from router.config import ConfigError, Settings
from router.domain import errors as domain_errors
from router.domain.errors import PermissionDenied, RouterError, StoreUnavailable, Unauthenticated
from router.rpc import errors
from router.rpc.auth import METHOD_ROLES, Authenticator, KeySet, identity_of_certificate
from router.rpc.server import SERVICES
from router.v1 import agents_pb2, supervision_pb2, tasks_pb2, tasks_pb2_grpc, telephony_pb2
from tests.rpc.conftest import World, settings
from tests.rpc.refusals import refused


def every_method() -> set[str]:
    files = (tasks_pb2, agents_pb2, telephony_pb2, supervision_pb2)
    return {
        f"/{service.full_name}/{method.name}"
        for file in files
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }


def test_the_table_of_roles_names_every_method_and_no_other():
    assert set(METHOD_ROLES) == every_method()
    assert all(METHOD_ROLES.values())
    assert {method.split("/")[1] for method in every_method()} == set(SERVICES)


def test_every_error_of_the_domain_has_a_code():
    kinds = [kind for kind in vars(domain_errors).values() if isinstance(kind, type)]
    for kind in kinds:
        if issubclass(kind, RouterError) and kind is not RouterError:
            assert kind in errors.CODES, kind


@pytest.mark.parametrize("method", sorted(every_method()))
async def test_no_method_answers_without_credentials_or_in_another_role(world, method):
    wrong = sorted({"agent", "acd", "submitter", "supervisor"} - METHOD_ROLES[method])
    for metadata, code in [((), grpc.StatusCode.UNAUTHENTICATED)] + [
        (world.token(role, "x"), grpc.StatusCode.PERMISSION_DENIED) for role in wrong
    ]:
        call = world.channel.unary_unary(method)(b"", metadata=metadata, timeout=5)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is code, (method, metadata)


@pytest.mark.parametrize(
    "authorization",
    [
        "dev:default:agent:alice",
        "Bearer dev:default:agent",
        "Bearer dev:a/b:agent:alice",
        "Bearer dev:s:king:x",
        "Bearer x",
    ],
)
async def test_credentials_that_cannot_be_read_are_refused(world, authorization):
    call = tasks_pb2_grpc.TaskServiceStub(world.channel).GetTask(
        tasks_pb2.GetTaskRequest(), metadata=(("authorization", authorization),)
    )
    code, info, _ = await refused(call)
    assert (code, info.reason) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")


async def test_what_cannot_be_decoded_is_the_callers_fault(world):
    method = "/router.v1.TaskService/SubmitTask"
    call = world.channel.unary_unary(method)(b"\xff\xff\xff", metadata=world.token("submitter", "erp"))
    code, _, fields = await refused(call)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "request" in fields
    stream = world.channel.stream_stream("/router.v1.AgentService/Session")(
        metadata=world.token("agent", "a")
    )
    await stream.write(b"\xff\xff\xff")
    code, _, _ = await refused(stream.read())
    assert code is grpc.StatusCode.INVALID_ARGUMENT


async def test_an_unforeseen_error_is_logged_and_only_its_id_is_told(world, monkeypatch, caplog):
    async def broken(*_: object) -> None:
        raise KeyError("the secret of the house")

    monkeypatch.setattr(world.app.router.tasks, "get", broken)
    with caplog.at_level(logging.ERROR):
        code, info, _ = await refused(
            world.tasks("GetTask", tasks_pb2.GetTaskRequest(name="sites/default/tasks/t1"))
        )
    assert (code, info.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert info.metadata["error_id"] in caplog.text
    assert "the secret of the house" in caplog.text
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.tasks("GetTask", tasks_pb2.GetTaskRequest(name="sites/default/tasks/t1"))
    assert "secret" not in str(caught.value)


async def test_an_unreachable_store_is_unavailable_and_says_when_to_come_again(world, monkeypatch):
    async def away(*_: object) -> None:
        raise StoreUnavailable("no answer")

    monkeypatch.setattr(world.app.router.tasks, "get", away)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await world.tasks("GetTask", tasks_pb2.GetTaskRequest(name="sites/default/tasks/t1"))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert b"RetryInfo" in dict(caught.value.trailing_metadata())["grpc-status-details-bin"]


async def test_a_call_without_a_deadline_gets_one(monkeypatch):
    async with build(settings(call_timeout_s=1)) as app:
        world = World(app)
        ended = asyncio.Event()

        async def stuck(*_: object) -> None:
            try:
                await asyncio.sleep(60)
            finally:
                ended.set()

        monkeypatch.setattr(app.router.tasks, "get", stuck)
        request = tasks_pb2.GetTaskRequest(name="sites/default/tasks/t1")
        stub = tasks_pb2_grpc.TaskServiceStub(world.channel)
        code, info, _ = await refused(stub.GetTask(request, metadata=world.token("submitter", "erp")))
        assert (code, info.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
        assert ended.is_set()
        await world.channel.close()


# -- tokens ------------------------------------------------------------------------------------------------
def loopback(**more: object) -> Settings:
    return Settings(listen="127.0.0.1:0", redis_url="memory://", **more)


def claims(**more: object) -> dict[str, object]:
    return {"sub": "alice", "site": "default", "role": "agent", "exp": time.time() + 60} | more


def test_a_token_signed_with_the_secret_is_believed_until_it_expires(tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"s" * 40 + b"\n")
    now = [time.time()]
    auth = Authenticator(loopback(jwt_key=secret), lambda: now[0])
    token = jwt.encode(claims(exp=time.time() + 2), b"s" * 40, "HS256")
    identity = auth.identify(f"Bearer {token}", {})
    assert (identity.site, identity.id, identity.roles) == ("default", "alice", {"agent"})
    assert auth.identify(f"bearer {token}", {}) is identity
    late = jwt.encode(claims(exp=time.time() - 60), b"s" * 40, "HS256")
    with pytest.raises(Unauthenticated, match="expired"):
        auth.identify(f"Bearer {late}", {})
    with pytest.raises(Unauthenticated, match="development"):
        auth.identify("Bearer dev:default:agent:alice", {})


def test_a_development_token_is_read_once_and_acts_in_each_method_as_its_role_allows():
    auth = Authenticator(loopback())
    identity = auth.identify("Bearer dev:default:agent:alice", {})
    assert auth.identify("Bearer dev:default:agent:alice", {}) is identity
    for _ in range(2):
        assert identity.acting_in("/router.v1.AgentService/Session").actor == "agent:alice"
        with pytest.raises(PermissionDenied):
            identity.acting_in("/router.v1.TaskService/SubmitTask")


def test_a_public_key_is_never_taken_for_a_secret(tmp_path: Path):
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    file = tmp_path / "key.pem"
    file.write_bytes(pem)
    auth = Authenticator(loopback(jwt_key=file))
    good = jwt.encode(claims(roles=["submitter", "supervisor"], role=None), private, "ES256")
    identity = auth.identify(f"Bearer {good}", {})
    assert identity.acting_in("/router.v1.TaskService/SubmitTask").role == "supervisor"
    import base64
    import hashlib
    import hmac
    import json

    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    head = (
        part(json.dumps({"alg": "HS256", "typ": "JWT"}).encode()) + "." + part(json.dumps(claims()).encode())
    )
    forged = head + "." + part(hmac.new(pem.strip(), head.encode(), hashlib.sha256).digest())
    unsigned = jwt.encode(claims(), None, "none")
    for token in (forged, unsigned, good[:-4] + "AAAA"):
        with pytest.raises(Unauthenticated):
            auth.identify(f"Bearer {token}", {})


@pytest.mark.parametrize("missing", ["exp", "sub", "site", "role"])
def test_a_token_without_one_of_its_claims_is_refused(tmp_path: Path, missing: str):
    secret = tmp_path / "secret"
    secret.write_bytes(b"s" * 40)
    token = jwt.encode({k: v for k, v in claims().items() if k != missing}, b"s" * 40, "HS256")
    with pytest.raises(Unauthenticated):
        Authenticator(loopback(jwt_key=secret)).identify(f"Bearer {token}", {})


@pytest.mark.parametrize("content", [b"short", b'{"keys": []}', b"-----BEGIN PRIVATE KEY-----"])
def test_a_key_file_that_is_no_good_is_refused_at_the_start(tmp_path: Path, content: bytes):
    file = tmp_path / "key"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="--jwt-key"):
        KeySet.load(file)


def test_a_certificate_names_site_role_and_id():
    identity = identity_of_certificate(
        {"x509_subject_alternative_name": [b"pbx.local", b"workrouter://hq/acd/pbx"]}
    )
    assert identity is not None
    assert (identity.site, identity.id, identity.roles) == ("hq", "pbx", {"acd"})
    assert identity_of_certificate({"x509_common_name": [b"somebody"]}) is None


# -- settings ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"listen": "0.0.0.0:50051"}, {"tls_cert", "jwt_key"}),
        ({"listen": "50051"}, {"listen"}),
        ({"listen": "127.0.0.1:99999"}, {"listen"}),
        ({"dev": False}, {"jwt_key"}),
        ({"listen": "[::]:1", "dev": True}, {"tls_cert", "jwt_key", "dev"}),
        ({"redis_url": "http://x"}, {"redis_url"}),
        ({"redis_url": "memory://", "workers": 2}, {"workers"}),
        ({"workers": 0}, {"workers"}),
        ({"log_level": "loud"}, {"log_level"}),
        ({"durability": "always"}, {"durability"}),
        ({"durability": "ha"}, {"durability"}),
        ({"durability": "durable", "redis_url": "memory://"}, {"durability"}),
        ({"tls_cert": Path("/nowhere")}, {"tls_cert", "tls_key"}),
    ],
)
def test_settings_name_each_option_at_fault(options, named):
    with pytest.raises(ConfigError) as caught:
        Settings(**options)
    assert {option for option, _ in caught.value.problems} == named


def test_development_tokens_are_for_loopback_without_other_credentials(tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"s" * 40)
    assert Settings().dev_tokens
    assert not Settings(jwt_key=secret).dev_tokens
    assert Settings(jwt_key=secret, dev=True).dev_tokens


# -- health and end ----------------------------------------------------------------------------------------
async def test_health_is_serving_only_while_the_store_answers(world, monkeypatch):
    stub = health_pb2_grpc.HealthStub(world.channel)
    request = health_pb2.HealthCheckRequest(service="router.v1.TaskService")
    assert (await stub.Check(request)).status == health_pb2.HealthCheckResponse.SERVING

    async def away() -> None:
        raise StoreUnavailable("no answer")

    monkeypatch.setattr(world.app.store, "ping", away)
    await world.app.server._probe()
    assert (await stub.Check(request)).status == health_pb2.HealthCheckResponse.NOT_SERVING


async def test_a_drain_tells_the_streams_and_then_ends_them(world):
    await world.furnish()
    stream = world.session()
    hello = agents_pb2.SessionRequest(hello=agents_pb2.SessionRequest.Hello(ready=True))
    await stream.write(hello)
    assert (await stream.read()).HasField("snapshot")
    watch = tasks_pb2_grpc.TaskServiceStub(world.channel).WatchTasks(
        tasks_pb2.WatchTasksRequest(), metadata=world.token("submitter", "erp")
    )
    await asyncio.sleep(0.1)
    draining = asyncio.create_task(world.app.drain())

    async def rest():
        kinds = []
        while (response := await stream.read()) is not grpc.aio.EOF:
            kinds.append(response.WhichOneof("message"))
            assert kinds[-1] in ("draining", "agent_changed")
        return kinds

    for call in (rest(), watch.read()):
        code, info, _ = await refused(asyncio.wait_for(call, 5))
        assert (code, info.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    await asyncio.wait_for(draining, 5)


async def test_a_burst_of_streams_is_taken(world):
    """Guards the options for pending requests, which are not public: without them a burst is refused at random."""
    await world.furnish(*(f"a{i}" for i in range(400)))
    channels = [grpc.aio.insecure_channel(f"127.0.0.1:{world.app.port}", [("x", i)]) for i in range(4)]
    from router.v1 import agents_pb2_grpc

    stubs = [agents_pb2_grpc.AgentServiceStub(channel) for channel in channels]

    async def connect(i: int) -> bool:
        stream = stubs[i % 4].Session(metadata=world.token("agent", f"a{i}"))
        await stream.write(agents_pb2.SessionRequest(hello=agents_pb2.SessionRequest.Hello(ready=True)))
        shown = (await stream.read()).HasField("snapshot")
        stream.cancel()
        return shown

    assert all(await asyncio.gather(*(connect(i) for i in range(400))))
    for channel in channels:
        await channel.close()


async def test_reflection_is_there_when_asked_for(world):
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    stub = reflection_pb2_grpc.ServerReflectionStub(world.channel)

    async def ask():
        yield reflection_pb2.ServerReflectionRequest(list_services="")

    async for answer in stub.ServerReflectionInfo(ask()):
        listed = {service.name for service in answer.list_services_response.service}
        assert set(SERVICES) <= listed
        break

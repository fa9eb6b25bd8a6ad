"""The router as processes: ready line, several workers on one port, restarts, and the end by SIGTERM."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import urllib.request
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from grpc_health.v1 import health_pb2, health_pb2_grpc

from router.app import build
from router.v1 import agents_pb2_grpc, tasks_pb2, tasks_pb2_grpc, telephony_pb2
from tests.rpc.conftest import World, settings
from tests.rpc.refusals import refused

PROGRAM = """
from pathlib import Path
from router.app import serve
from router.config import Settings
serve(Settings(listen="127.0.0.1:0", data_dir=Path({data!r}), workers={workers}, drain_s=1))
"""


@asynccontextmanager
async def router_process(data: Path, workers: int):
    program = PROGRAM.format(data=str(data), workers=workers)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
        assert line.startswith("workrouter ready on 127.0.0.1:"), line
        yield process, line.split()[3]
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def serving(address: str) -> bool:
    async with grpc.aio.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(), timeout=5, wait_for_ready=True
        )
        return answer.status == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.store
async def test_one_process_with_its_own_store_ends_by_sigterm(tmp_path):
    async with router_process(tmp_path / "data", 1) as (process, address):
        assert await serving(address)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 15) == 0


def workers_of(pid: int) -> set[int]:
    """The worker processes of a router."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()}


def alive(pids: set[int]) -> list[int]:
    """Those that still run."""
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


@pytest.mark.store
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_workers_share_a_port_and_one_that_dies_is_replaced(tmp_path):
    async with router_process(tmp_path / "data", 2) as (process, address):
        assert await serving(address)
        before = workers_of(process.pid)
        assert len(before) == 2
        os.kill(min(before), signal.SIGKILL)
        async with asyncio.timeout(20):
            while len(workers_of(process.pid) - {min(before)}) < 2:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)
        assert await serving(address)
        last = workers_of(process.pid)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 20) == 0
        assert not alive(last)


async def test_metrics_count_calls_by_method_and_status_only(unused_tcp_port):
    async with build(settings(metrics_port=unused_tcp_port)) as app:
        world = World(app)
        await refused(world.tasks("GetTask", tasks_pb2.GetTaskRequest(name="sites/default/tasks/t1")))
        url = f"http://127.0.0.1:{unused_tcp_port}/metrics"
        text = (await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=5).read())).decode()
        await world.channel.close()
    (line,) = [one for one in text.splitlines() if one.startswith("rpc_server_calls_total{")]
    assert 'rpc_method="/router.v1.TaskService/GetTask"' in line
    assert 'rpc_status="NOT_FOUND"' in line
    assert 'le="0.005"' in text
    assert "t1" not in line


# -- mutual TLS --------------------------------------------------------------------------------------------
def certificate(authority=None, uri: str = "", dns: str = ""):
    """(certificate, key) signed by the authority, or by itself."""
    import datetime

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, dns or uri or "authority")])
    now = datetime.datetime.now(datetime.UTC)
    issuer, signer = (authority[0].subject, authority[1]) if authority else (name, key)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=authority is None, path_length=None), True)
    )
    others = [x509.UniformResourceIdentifier(uri)] if uri else []
    others += [x509.DNSName(dns)] if dns else []
    if others:
        builder = builder.add_extension(x509.SubjectAlternativeName(others), False)
    return builder.sign(signer, hashes.SHA256()), key


def pem(pair) -> tuple[bytes, bytes]:
    private = pair[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pair[0].public_bytes(serialization.Encoding.PEM), private


async def test_a_client_certificate_is_an_identity(tmp_path):
    authority = certificate()
    server, acd = (
        certificate(authority, dns="localhost"),
        certificate(authority, uri="workrouter://hq/acd/pbx"),
    )
    files = {"ca": pem(authority)[0], "cert": pem(server)[0], "key": pem(server)[1]}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    options = settings(
        listen="0.0.0.0:0",
        tls_cert=tmp_path / "cert",
        tls_key=tmp_path / "key",
        tls_client_ca=tmp_path / "ca",
    )
    async with build(options) as app:
        certificate_pem, key = pem(acd)
        secure = grpc.ssl_channel_credentials(files["ca"], key, certificate_pem)
        async with grpc.aio.secure_channel(f"localhost:{app.port}", secure) as channel:
            from router.v1 import telephony_pb2_grpc

            stub = telephony_pb2_grpc.TelephonyServiceStub(channel)
            stream = stub.Report()
            report = telephony_pb2.ReportRequest
            await stream.write(report(epoch="1", sequence=1, snapshot=report.Snapshot()))
            assert (await stream.read()).ack.outcome == telephony_pb2.REPORT_OUTCOME_APPLIED
            feeds = await stub.ListFeeds(telephony_pb2.ListFeedsRequest())
            assert [feed.name for feed in feeds.feeds] == ["sites/hq/feeds/pbx"]
            code, _, _ = await refused(
                tasks_pb2_grpc.TaskServiceStub(channel).GetTask(tasks_pb2.GetTaskRequest())
            )
            assert code is grpc.StatusCode.PERMISSION_DENIED
            stream.cancel()
        bare = grpc.ssl_channel_credentials(files["ca"])
        async with grpc.aio.secure_channel(f"localhost:{app.port}", bare) as channel:
            code, _, _ = await refused_plainly(agents_pb2_grpc.AgentServiceStub(channel))
            assert code is grpc.StatusCode.UNAVAILABLE


async def refused_plainly(stub):
    """A handshake that fails carries no details."""
    from router.v1 import agents_pb2

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetNextTask(agents_pb2.GetNextTaskRequest(), timeout=5)
    return caught.value.code(), None, None

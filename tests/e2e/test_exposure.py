"""What the router refuses to start with, and what it needs to be reached from other machines."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import jwt
import pytest
from redis.asyncio import Redis

from clients import NoTask, Tls
from clients.agent import Offered
from clients.errors import UnauthenticatedError
from router.state.embedded import EmbeddedStore
from tests.e2e.floor import COMPLETED, Floor, opened_floor
from tests.e2e.processes import refusal, running
from tests.support.certificates import self_signed

EVERYWHERE = "0.0.0.0:0"
SECRET = "a secret of thirty-two bytes or more"


def token(site: str, role: str, id: str, secret: str = SECRET) -> str:
    """A signed token."""
    claims = {"sub": id, "site": site, "roles": [role], "exp": int(time.time()) + 600}
    return jwt.encode(claims, secret, algorithm="HS256")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ((), ("--tls-cert", "--jwt-key", "can be reached from other machines")),
        (("--dev", "--tls-cert", "{cert}", "--tls-key", "{key}"), ("--jwt-key", "--dev", "loopback")),
        (("--jwt-key", "{secret}"), ("--tls-cert",)),
    ],
    ids=["nothing", "development tokens", "no TLS"],
)
def test_it_does_not_expose_itself(tmp_path: Path, options: tuple[str, ...], named: tuple[str, ...]) -> None:
    cert, key = self_signed(tmp_path / "tls")
    (tmp_path / "secret").write_text(SECRET)
    given = [option.format(cert=cert, key=key, secret=tmp_path / "secret") for option in options]
    code, said = refusal(tmp_path / "run", "--listen", EVERYWHERE, "--data-dir", str(tmp_path / "d"), *given)
    assert code == 1
    said = " ".join(said.split())
    for word in named:
        assert word in said
    assert "Traceback" not in said
    assert not (tmp_path / "d").exists(), "nothing is opened before the settings are checked"


def test_an_address_that_is_taken_ends_the_start_with_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, said = refusal(tmp_path / "run", "--listen", address, "--data-dir", str(tmp_path / "d"))
    assert code == 1
    assert f"cannot listen on {address}" in " ".join(said.split())
    assert "Traceback" not in said


async def test_with_tls_and_tokens_it_serves_the_world(tmp_path: Path) -> None:
    cert, key = self_signed(tmp_path / "tls")
    (tmp_path / "secret").write_text(SECRET)
    options = ("--tls-cert", str(cert), "--tls-key", str(key), "--jwt-key", str(tmp_path / "secret"))
    trust = Tls(root_certificates=cert.read_bytes())
    with running(tmp_path / "run", *options) as router:
        address = f"localhost:{router.port}"
        async with opened_floor(address, "hq", tls=trust, token=token("hq", "supervisor", "sue")) as boss:
            await boss.work_type()
            await boss.hire("ann")
            await boss.boss.figures()
        async with opened_floor(address, "hq", tls=trust, token=token("hq", "agent", "ann")) as agent:
            answer = await agent.puller("ann").get_next()
            assert isinstance(answer, NoTask)
        forged = token("hq", "supervisor", "sue", "another secret of thirty-two bytes or more")
        for bad in (forged, "dev:hq:supervisor:sue"):
            async with opened_floor(address, "hq", tls=trust, token=bad) as stranger:
                with pytest.raises(UnauthenticatedError):
                    await stranger.boss.figures()


# -- stores ----------------------------------------------------------------------------------------------
@pytest.mark.cluster
async def test_a_cluster_serves(tmp_path: Path, cluster_url: str) -> None:
    shared = ("--redis-url", cluster_url, "--durability", "dev")
    with running(tmp_path, *shared, "--heartbeat-s", "2") as router:
        async with opened_floor(router.address, f"cluster-{tmp_path.name}") as floor:
            await _one_task(floor)
            await floor.assert_sound(cluster_url)


async def _one_task(floor: Floor) -> None:
    await floor.work_type()
    await floor.hire("ann")
    ann = await floor.desk("ann")
    task = await floor.submit()
    await ann.session.complete(await ann.session.accept((await ann.expect(Offered)).offer))
    assert await floor.state(task) == COMPLETED


async def test_a_store_that_may_drop_tasks_is_refused(tmp_path: Path) -> None:
    async with EmbeddedStore(tmp_path / "store") as store:
        async with Redis.from_url(store.url) as client:
            await client.config_set("maxmemory-policy", "allkeys-lru")
        code, said = refusal(tmp_path / "run", "--listen", "127.0.0.1:0", "--redis-url", store.url)
    said = " ".join(said.split())
    assert code == 1
    assert "has maxmemory-policy allkeys-lru" in said
    assert "set maxmemory-policy noeviction" in said
    assert "Traceback" not in said

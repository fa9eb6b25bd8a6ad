"""The sustained rate is found on a server whose limit is known."""

import pytest

from loadtests.bench.saturation import Probe, find, highest, limit


def server(limit_per_s, *, hiccups=(), kept_up_to=float("inf")):
    """A probe of a server that keeps its latency up to a limit; the numbered probes suffer from somebody else."""
    asked = []

    async def probe(rate):
        asked.append(rate)
        fine = rate <= min(limit_per_s, kept_up_to) and len(asked) - 1 not in hiccups
        return Probe(rate, 0.001, 0.005 if fine else 0.5, 0.0 if fine else 0.2, rate <= kept_up_to)

    return probe


@pytest.mark.parametrize("known", [150.0, 700.0, 2345.0])
async def test_the_limit_is_found_from_below(known):
    best = highest(await find(server(known), 200.0))
    assert known * 0.93 <= best <= known


async def test_one_hiccup_is_no_limit():
    best = highest(await find(server(1000.0, hiccups=(2,)), 200.0))
    assert 930 <= best <= 1000


async def test_the_search_ends_when_nothing_is_sustained():
    probes = await find(server(0.0), 200.0, most=10)
    assert highest(probes) == 0.0
    assert len(probes) <= 11
    assert "backlog" in limit(probes)


async def test_the_search_ends_when_everything_is_sustained():
    probes = await find(server(float("inf")), 200.0, most=8)
    assert len(probes) == 8
    assert limit(probes) == "no rate that was tried failed"


async def test_a_generator_that_is_the_limit_is_named():
    probes = await find(server(float("inf"), kept_up_to=500.0), 200.0)
    assert highest(probes) <= 500
    assert limit(probes) == "the generator did not keep its schedule"


def test_a_late_generator_is_no_limit_while_the_latency_holds():
    assert Probe(1, 0.001, 0.04, 0.0, kept=False).sustained


@pytest.mark.parametrize(
    ("probe", "why_not"),
    [
        (Probe(1, 0.001, 0.06, 0.0), "p99 over the bound"),
        (Probe(1, 0.001, 0.06, 0.5), "the backlog grew"),
        (Probe(1, 0.001, 0.06, 0.0, kept=False), "the generator did not keep its schedule"),
    ],
)
def test_a_probe_tells_what_ended_it(probe, why_not):
    assert not probe.sustained
    assert probe.why_not == why_not

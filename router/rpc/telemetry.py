"""Metrics of the calls: how many, how they ended and how long they took. Never labelled by task, agent or site."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import grpc
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import CallbackOptions, Meter, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from prometheus_client import start_http_server

from router.rpc.interceptors import Continuation, Handler, behaviour_of, rebuilt

DURATION = "rpc.server.call.duration"
BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
"""Explicit, because the Prometheus exporter cannot write exponential ones."""

_CODES: Mapping[Any, str] = {code: code.name for code in grpc.StatusCode} | {
    code.value[0]: code.name for code in grpc.StatusCode
}


class Telemetry:
    """A meter with a Prometheus page on a loopback port."""

    def __init__(self, port: int) -> None:
        """Raises OSError when the port is taken."""
        self._server, self._thread = start_http_server(port, addr="127.0.0.1")
        view = View(
            instrument_name=DURATION, aggregation=ExplicitBucketHistogramAggregation(boundaries=BUCKETS_S)
        )
        self._provider = MeterProvider([PrometheusMetricReader()], views=[view])
        self.meter = self._provider.get_meter("router")

    def close(self) -> None:
        """Give the port back."""
        self._provider.shutdown()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)


class CallMetrics(grpc.aio.ServerInterceptor):  # type: ignore[misc, unused-ignore]
    """Counts and times every call. Must stand before `Edge`, whose handlers it wraps once more."""

    def __init__(self, meter: Meter) -> None:
        # Counted here and read when somebody looks: a counter of the SDK costs 12 µs for each call.
        self._counts: Counter[tuple[str, str]] = Counter()
        meter.create_observable_counter(
            "rpc.server.calls", [self._observed], description="Calls by method and status."
        )
        self._duration = meter.create_histogram(DURATION, unit="s", description="Time from start to end.")
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler:
        """The handler of the method, timed."""
        method = handler_call_details.method
        if method not in self._wrapped:
            handler = await continuation(handler_call_details)
            if handler is None:
                return None
            self._wrapped[method] = self._timed(method, handler)
        return self._wrapped[method]

    def _timed(self, method: str, handler: Handler) -> Handler:
        behaviour = behaviour_of(handler)
        timed_as = {"rpc.method": method}

        async def timed(request: Any, context: Any) -> Any:
            started = time.monotonic()
            ended = ""
            try:
                return await behaviour(request, context)
            except asyncio.CancelledError:
                ended = grpc.StatusCode.CANCELLED.name
                raise
            finally:
                code = ended or _CODES.get(context.code(), "OK")
                self._counts[method, code] += 1
                self._duration.record(time.monotonic() - started, timed_as)

        return rebuilt(handler, timed)

    def _observed(self, _: CallbackOptions) -> Iterator[Observation]:
        """Called by the thread that answers Prometheus, hence the copy."""
        for (method, code), count in list(self._counts.items()):
            yield Observation(count, {"rpc.method": method, "rpc.status": code})

# syntax=docker/dockerfile:1
# The router with its embedded store. docker build -t workrouter . && docker run -p 50051:50051 -v work:/data workrouter

FROM python:3.13-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN ["python", "-m", "venv", "/opt/router"]
COPY . .
RUN ["/opt/router/bin/pip", "install", "."]

FROM python:3.13-slim
RUN ["useradd", "--system", "--uid", "10001", "--user-group", "--no-create-home", "router"]
RUN ["install", "--directory", "--owner=router", "--group=router", "--mode=0700", "/data"]
COPY --from=build /opt/router /opt/router
ENV PATH=/opt/router/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 MPLCONFIGDIR=/tmp/matplotlib
USER 10001:10001
WORKDIR /data
VOLUME ["/data"]
EXPOSE 50051
# The gRPC health service answers SERVING only while the router takes work.
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s --retries=3 CMD ["python", "-c", "\
import grpc, sys; \
from grpc_health.v1 import health_pb2 as m, health_pb2_grpc as g; \
channel = grpc.insecure_channel('127.0.0.1:50051'); \
answer = g.HealthStub(channel).Check(m.HealthCheckRequest(), timeout=4); \
sys.exit(answer.status != m.HealthCheckResponse.SERVING)"]
# SIGTERM drains: sessions are told, leases stay with their agents.
STOPSIGNAL SIGTERM
ENTRYPOINT ["workrouter"]
CMD ["serve", "--listen", "0.0.0.0:50051", "--data-dir", "/data"]

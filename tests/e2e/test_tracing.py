"""Traces of a whole installation, as a collector gets them over HTTP."""

import asyncio
import gzip
import subprocess
import sys
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import pytest_asyncio
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bellhop.domain.device import Kind, Provider
from bellhop.sandbox.apple_script import AppleReply
from bellhop.sandbox.installation import Installation
from bellhop.sandbox.stream_webhooks import SampleCall

pytestmark = pytest.mark.asyncio(loop_scope="module")

SOON_S = 20
BEN = "a1" * 32
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Collector:
    """Takes spans as an OpenTelemetry collector does (OTLP/HTTP, protobuf)."""

    def __init__(self):
        self.spans, self.bodies = [], []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.take(body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/traces"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, body):
        self.bodies.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = next(a.value.string_value for a in resource.resource.attributes if a.key == "service.name")
            self.spans += [(service, span) for scope in resource.scope_spans for span in scope.spans]

    def trace(self, trace_id):
        """The spans of a trace by name."""
        found = defaultdict(list)
        for service, span in self.spans:
            if span.trace_id.hex() == trace_id:
                found[span.name].append((service, span, {a.key: a.value.string_value for a in span.attributes}))
        return found

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def traced_installation(tmp_path_factory):
    collector = Collector()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        folder = tmp_path_factory.mktemp("installation")
        async with Installation(folder, {"OTLP_ENDPOINT": collector.url, "MISSED_GRACE_S": "0"}) as installation:
            await installation.register("ben-osei", Provider.APNS, Kind.VOIP, BEN, "Ben's iPhone")
            await installation.register("ben-osei", Provider.APNS, Kind.ALERT, "a2" * 32, "Ben's iPhone")
            yield installation, collector
    collector.close()


async def until(holds):
    give_up = time.monotonic() + SOON_S
    while not holds() and time.monotonic() < give_up:
        await asyncio.sleep(0.05)
    assert holds()


async def test_one_trace_leads_from_the_webhook_to_each_attempt(traced_installation):
    installation, collector = traced_installation
    installation.apple.script(BEN, AppleReply(503, "ServiceUnavailable"))
    await installation.stream.post(SampleCall(members=("ben-osei",)).ring())
    await until(lambda: [s for _, s in collector.spans if s.name == "webhook"])
    trace = next(span for _, span in collector.spans if span.name == "webhook").trace_id.hex()
    await until(lambda: collector.trace(trace)["ring"])  # it ends after the attempts
    found = collector.trace(trace)
    [(web, webhook, _)], [(worker, job, _)] = found["webhook"], found["ring"]
    assert (web, worker) == ("bellhop-web", "bellhop-worker")
    assert webhook.parent_span_id == b""
    assert job.parent_span_id == webhook.span_id
    assert {span.parent_span_id for _, span, _ in found["attempt"]} == {job.span_id}
    outcomes = [
        facts["outcome"] for _, span, facts in sorted(found["attempt"], key=lambda a: a[1].start_time_unix_nano)
    ]
    # A worker that was held up after its claim sends nothing, and claims again.
    assert [outcome for outcome in outcomes if outcome != "delayed"] == ["unavailable", "accepted"]
    assert all(span.end_time_unix_nano > span.start_time_unix_nano for of in found.values() for _, span, _ in of)


async def test_the_notice_that_follows_a_ring_is_in_the_rings_trace(traced_installation):
    installation, collector = traced_installation
    call = SampleCall(members=("ben-osei",))
    await installation.stream.post(call.ring())
    await until(lambda: any(a.cid == call.cid for a in installation.arrivals))
    await installation.stream.post(call.rejected("sara-lind", "cancel"))
    await until(lambda: any(span.name == "notice" for _, span in collector.spans))
    notice = next(span for _, span in collector.spans if span.name == "notice")
    await until(lambda: collector.trace(notice.trace_id.hex())["ring"])


async def test_a_trace_that_began_in_front_of_bellhop_goes_on(traced_installation):
    installation, collector = traced_installation
    event = SampleCall().rejected("nobody", "decline")
    async with installation.http.post(
        f"{installation.url}/webhooks/stream", json=event, headers={"traceparent": CALLER}
    ) as answer:
        assert answer.status == 401
    await until(lambda: collector.trace(CALLER.split("-")[1])["webhook"])
    [(_, span, _)] = collector.trace(CALLER.split("-")[1])["webhook"]
    assert span.parent_span_id.hex() == CALLER.split("-")[2]


async def test_what_is_exported_holds_no_token_and_no_name(traced_installation):
    _, collector = traced_installation
    sent = b"".join(collector.bodies)
    assert b"attempt" in sent
    for personal in (BEN, "a2" * 32, "Ben", "Sara", "ben-osei", "sara-lind", "Design review"):
        assert personal.encode() not in sent


OFF = """
import sys
from bellhop.telemetry import tracing
with tracing.span("x") as facts:
    facts["a"] = 1
assert tracing.traceparent() == ""
import webhook.app, worker.main
assert not [name for name in sys.modules if name.startswith(("opentelemetry.exporter", "opentelemetry.sdk.trace"))]
"""


async def test_switched_off_nothing_of_opentelemetry_is_set_up():
    done = subprocess.run([sys.executable, "-c", OFF], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


async def test_a_collector_that_is_away_holds_up_no_ring(tmp_path):
    async with Installation(tmp_path, {"OTLP_ENDPOINT": "http://127.0.0.1:9/v1/traces"}) as installation:
        await installation.register("ben-osei", Provider.APNS, Kind.VOIP, BEN)
        for _ in range(20):
            await installation.stream.post(SampleCall(members=("ben-osei",)).ring())
        await until(lambda: len(installation.arrivals) == 20)

"""Traces for an OpenTelemetry collector, from the webhook to each attempt. They need the extra `otel` and a setting.

While tracing is off, opening a span costs one comparison, and OpenTelemetry is not imported.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from traceback import extract_tb
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

Facts = dict[str, str | int | float]
"""A span's attributes. They can be added until the span ends. Never a token, a name or an address."""


GIVE_UP_S = 3.0
"""How long sending a batch of spans to the collector may take. A process that ends waits for it."""


class _Tracing:
    tracer: "Tracer | None" = None
    provider: "TracerProvider | None" = None


def configure(endpoint: str, service: str) -> None:
    """Send spans to `endpoint` (OTLP over HTTP, such as http://collector:4318/v1/traces); "" leaves tracing off.

    OTEL_* variables set the rest: OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS, OTEL_RESOURCE_ATTRIBUTES, …
    Raises ModuleNotFoundError when the extra `otel` is not installed.
    """
    if not endpoint:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - an extra
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    _Tracing.provider = TracerProvider(resource=Resource.create({"service.name": service}))
    _Tracing.provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint, timeout=GIVE_UP_S)))
    _Tracing.tracer = _Tracing.provider.get_tracer("bellhop")


def stop() -> None:
    """Send the remaining spans."""
    if _Tracing.provider is not None:
        _Tracing.provider.shutdown()


def span(name: str, kind: str = "INTERNAL", parent: str = "", **facts: str | float) -> AbstractContextManager[Facts]:
    """Open a span, for a `with` statement. `kind` is OpenTelemetry's: SERVER, CONSUMER, CLIENT or INTERNAL.

    `parent` is a W3C traceparent from another process. Without it, the span that is open here is the parent.
    """
    return _span(name, kind, parent, dict(facts)) if _Tracing.tracer is not None else nullcontext(dict(facts))


@contextmanager
def _span(name: str, kind: str, parent: str, facts: Facts) -> Iterator[Facts]:
    from opentelemetry.trace import SpanKind  # noqa: PLC0415
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

    assert _Tracing.tracer is not None  # noqa: S101 - `span` has checked it
    context = TraceContextTextMapPropagator().extract({"traceparent": parent}) if parent else None
    # An exception's text may hold secrets, so a span only records its type.
    options: Mapping[str, Any] = {"record_exception": False, "set_status_on_exception": False}
    with _Tracing.tracer.start_as_current_span(name, context, SpanKind[kind], **options) as opened:
        try:
            yield facts
        except BaseException as error:
            facts["error.type"] = type(error).__name__
            raise
        finally:
            opened.set_attributes(facts)


def record_error(error: Exception) -> None:
    """Record an error on the open span, also if code outside Bellhop opened that span.

    The text of the error is left out: it may hold a token, a name or an address.
    """
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:  # then no span is open
        return
    frames = [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in extract_tb(error.__traceback__)]
    opened = trace.get_current_span()
    opened.record_exception(error, {"exception.message": "", "exception.stacktrace": "\n".join(frames)})
    opened.set_status(trace.StatusCode.ERROR)


def traceparent() -> str:
    """Return the open span as a W3C traceparent, or "" if there is none."""
    if _Tracing.tracer is None:
        return ""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent", "")

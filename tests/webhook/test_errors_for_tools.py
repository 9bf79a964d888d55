"""Errors of a view are seen by tools such as Sentry and OpenTelemetry, as those of any Flask application."""

import json
import logging

import pytest
import structlog
from flask import got_request_exception
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from bellhop.telemetry import logs
from tests.factories import web_settings
from webhook.app import create_app


@pytest.fixture(autouse=True)
def _logging_as_before(monkeypatch):
    root, config = logging.getLogger(), structlog.get_config()
    level = root.level
    monkeypatch.setattr(root, "handlers", root.handlers[:])
    structlog.contextvars.clear_contextvars()
    yield
    root.setLevel(level)
    structlog.configure(**config)


@pytest.fixture
def client(redis_url):
    app = create_app(web_settings(redis_url))

    @app.get("/broken")
    def broken():
        raise ZeroDivisionError("with a secret")

    return app.test_client()


def test_flask_tells_of_an_unexpected_error(client):
    told = []
    with got_request_exception.connected_to(lambda _, exception: told.append(exception), client.application):
        assert client.get("/broken").status_code == 503
    assert [type(error) for error in told] == [ZeroDivisionError]


def test_it_is_on_the_span_without_its_text(client):
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("of another program").start_as_current_span("GET /broken"):
        client.get("/broken")
    (span,) = exporter.get_finished_spans()
    (event,) = span.events
    assert event.attributes["exception.type"] == "ZeroDivisionError"
    assert "test_errors_for_tools.py" in event.attributes["exception.stacktrace"]
    assert "with a secret" not in str(dict(event.attributes))
    assert not span.status.is_ok


@pytest.fixture
def configure_logs(monkeypatch):
    """Set up the log as a process does. Afterwards it is as before, so that later tests can capture log lines."""
    before, handlers, configure = structlog.get_config(), logging.root.handlers[:], structlog.configure
    monkeypatch.setattr(
        structlog, "configure", lambda **options: configure(**options | {"cache_logger_on_first_use": False})
    )
    yield logs.configure
    configure(**before)
    logging.root.handlers[:] = handlers


def test_lines_of_level_error_reach_pythons_logging(client, caplog, monkeypatch, capsys, configure_logs):
    monkeypatch.setattr(logging.getLogger("bellhop"), "handlers", [caplog.handler])
    configure_logs("json", "info")
    client.get("/broken")
    (record,) = caplog.records
    assert (record.getMessage(), record.exc_info[0]) == ("unexpected_error", ZeroDivisionError)
    assert record.bellhop == {"error": "ZeroDivisionError"}
    assert capsys.readouterr().err.count("unexpected_error") == 1, "and are printed once"


def test_lines_have_the_names_of_the_elastic_common_schema(capsys, configure_logs):
    configure_logs("ecs", "info")
    structlog.get_logger().error("unexpected_error", error="ZeroDivisionError", exc_info=ZeroDivisionError("a secret"))
    logging.getLogger("a.library").warning("odd")
    ours, theirs = map(json.loads, capsys.readouterr().err.splitlines())
    names = {"ecs.version", "@timestamp", "log.level", "message", "error.type", "error.stack_trace", "bellhop"}
    assert ours.keys() == names
    assert (ours["message"], ours["error.type"]) == ("unexpected_error", "ZeroDivisionError")
    assert ours["bellhop"] == {"error": "ZeroDivisionError"}
    assert (theirs["message"], theirs["log.logger"], theirs["log.level"]) == ("odd", "a.library", "warning")

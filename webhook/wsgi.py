"""The application, for `bellhop web` and for WSGI servers such as gunicorn's gthread."""

from webhook import counting
from webhook.app import create_app
from worker import settings
from worker.telemetry import logs, tracing

_settings = settings.load("web")
logs.configure(_settings.log_format, _settings.log_level)
tracing.configure(_settings.otlp_endpoint, "bellhop-web")
app = create_app(_settings)
counting.start(app.extensions["door"])

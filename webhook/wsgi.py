"""The WSGI application `webhook.wsgi:app`, for `bellhop web` and for servers such as gunicorn."""

from bellhop import settings
from bellhop.telemetry import logs, tracing
from webhook import metrics_flush
from webhook.app import create_app

_settings = settings.load("web")
logs.configure(_settings.log_format, _settings.log_level)
settings.warn_of_removed_settings()
settings.warn_of_soon_refused(settings.soon_refused(_settings))
tracing.configure(_settings.otlp_endpoint, "bellhop-web")
app = create_app(_settings)
metrics_flush.start(app.extensions["context"])

"""The application for WSGI servers: `granian --interface wsgi webhook.wsgi:app`, or gunicorn's gthread."""

from webhook.app import create_app
from worker import logs, settings

_settings = settings.load("web")
logs.configure(_settings.log_format, _settings.log_level)
app = create_app(_settings)

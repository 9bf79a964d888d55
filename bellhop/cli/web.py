"""`bellhop web`: run the web process."""

import click

from bellhop.cli.options import load_settings, require_own_package
from bellhop.telemetry import logs


@click.command("web")
def command() -> None:
    """Receive Stream's webhooks over HTTP and queue them.

    Also serves the API for devices and users (/v1), the console, /healthz, /readyz and /metrics.
    """
    require_own_package("webhook")
    settings = load_settings("web")
    logs.configure(settings.log_format, settings.log_level)
    from webhook.server.serve import serve  # noqa: PLC0415 - see tests/test_architecture.py

    serve(settings)

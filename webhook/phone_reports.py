"""Note what phones report, and warn once about a phone to which Google delivers calls too late.

No log line says which user has the phone, or what it reported.
"""

import structlog

from bellhop.domain.phone import DEMOTIONS_FOR_A_WARNING
from bellhop.store.phones import read_noted
from bellhop.store.scripts import Command
from bellhop.telemetry import metrics
from webhook.context import WebContext

log = structlog.get_logger()


def note_report(context: WebContext, command: Command, device_key: str) -> bool:
    """Run a command of `bellhop.store.phones`; returns whether the user has this device.

    Raises redis.exceptions.RedisError.
    """
    noted = read_noted(context.run(command))
    if noted.demoted == DEMOTIONS_FOR_A_WARNING:
        metrics.PHONES_DEMOTED.add()
        log.warning("pushes_demoted", device=device_key, pushes=noted.demoted)
    return noted.known

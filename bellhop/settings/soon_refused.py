"""Values of settings that this version accepts with a warning, and that the next version refuses or ignores.

So an upgrade stops no installation, and its operators have the time of one version to change the setting.
"""

from collections.abc import Iterator

import structlog

from bellhop.settings.combined import Settings
from bellhop.settings.variables import variable
from bellhop.settings.weak_password import weakness

log = structlog.get_logger()


def soon_refused(settings: Settings) -> Iterator[str]:
    """Yield a sentence for each such value, with what to set."""
    for name, password in settings.console_passwords.items():
        if why := weakness(password.get_secret_value()):
            yield (
                f"{name} is easily guessed: {why}. The next version refuses it: set a random one, such as "
                "`openssl rand -base64 24` prints."
            )
    if settings.console_proxy_header and not settings.names_console_proxy:
        yield (
            f"{variable('console_proxy_header')} is accepted from every process of this machine, since no proxy is "
            f"named. The next version ignores it then: set {variable('console_proxy_secret')}, or "
            f"{variable('console_trusted_proxies')} to the address of your proxy."
        )


def warn_of_soon_refused(settings: Settings) -> None:
    """Log a warning for each value that the next version refuses."""
    for sentence in soon_refused(settings):
        log.warning("setting_soon_refused", problem=sentence)

"""Values of settings that this version accepts with a warning, and that the next version refuses or ignores.

So an upgrade stops no installation, and its operators have the time of one version to change the setting.
"""

from collections.abc import Iterable, Iterator

import structlog

from bellhop.settings.combined import Settings
from bellhop.settings.field_types import repeated
from bellhop.settings.variables import variable
from bellhop.settings.weak_password import weakness

log = structlog.get_logger()


def soon_refused(settings: Settings) -> Iterator[str]:
    """Yield a sentence for each such value, with what to set."""
    yield from _of_the_console(settings)
    yield from credentials_twice(settings)


def _of_the_console(settings: Settings) -> Iterator[str]:
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


def credentials_twice(settings: Settings) -> Iterator[str]:
    """Yield those of these sentences that concern a worker: two sets of credentials for one app."""
    apps = {
        "apns_apps": [app.topic for app in settings.apns_apps],
        "fcm_apps": [app.project_id for app in settings.fcm_apps],
        "web_push_apps": [app.app for app in settings.web_push_apps],
    }
    for name, of_provider in apps.items():
        for app in repeated(of_provider):
            yield (
                f"{variable(name)} has several credentials for {app}, and only the last ones are used. The next "
                "version refuses them: keep those that are valid."
            )


def warn_of_soon_refused(sentences: Iterable[str]) -> None:
    """Log a warning for each value that the next version refuses."""
    for sentence in sentences:
        log.warning("setting_soon_refused", problem=sentence)

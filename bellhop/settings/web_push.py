"""Settings: Web Push, the push services of browsers."""

import re
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from bellhop.domain.web_push import KNOWN_SERVICES, SERVICE, read_public_key
from bellhop.settings.field_types import CaFile, ListOf, Network, ProxyUrl, SettingsSection, TablesOf

WEB_PUSH_SHORTHANDS = {
    "web_push_app": "app",
    "web_push_public_key": "public_key",
    "web_push_private_key": "private_key",
    "web_push_subject": "subject",
}
"""The settings for a single web app, and the field of WebPushApp that each of them sets."""
SUBJECT = re.compile(r"mailto:[^\s@<>]+@[^\s@<>]+|https://\S+")


def _push_service(host: str) -> str:
    if SERVICE.fullmatch(host) is None:
        raise ValueError("must be the host of a push service, such as push.example.org or *.push.example.org")
    return host


class WebPushApp(BaseModel):
    """One web app and its key pair (VAPID, RFC 8292). `bellhop web-push keys` makes a pair."""

    model_config = ConfigDict(extra="forbid")

    app: Annotated[str, Field(pattern=r"^[A-Za-z0-9.:_-]{1,255}$")]
    """Its name, usually the host of its page."""
    public_key: str = ""
    """Browsers subscribe with it. It can be left out if the private key is set."""
    private_key: SecretStr = SecretStr("")
    """Workers need it."""
    subject: str = ""
    """Where a push service can reach you: mailto: and an e-mail address, or an https URL. Workers need it."""

    @model_validator(mode="after")
    def _one_key_pair(self) -> Self:
        secret = self.private_key.get_secret_value()
        if not secret and not self.public_key:
            raise ValueError("public_key or private_key must be set: `bellhop web-push keys` makes both")
        if self.public_key:
            try:
                self.public_key = read_public_key(self.public_key)
            except ValueError:
                raise ValueError("public_key must be one that `bellhop web-push keys` makes") from None
        if secret:
            public_key = _public_key_of(secret)
            if self.public_key not in ("", public_key):
                raise ValueError("public_key does not belong to private_key")
            self.public_key = public_key
            if SUBJECT.fullmatch(self.subject) is None:
                raise ValueError("subject must be mailto: with an e-mail address, or an https URL")
        return self


class WebPushSettings(SettingsSection):
    """Which web apps Bellhop rings, and which push services it sends to."""

    web_push_app: str = ""
    """Name of the web app, usually the host of its page. Devices are registered with it."""
    web_push_public_key: str = ""
    """The app's public key (VAPID), for the web process. `bellhop web-push keys` makes a pair."""
    web_push_private_key: SecretStr = SecretStr("")
    """The app's private key (VAPID), for workers."""
    web_push_subject: str = ""
    """Where a push service can reach you: `mailto:` and an e-mail address, or an https URL. Workers need it."""
    web_push_apps: TablesOf[WebPushApp] = []
    """Several web apps: [[web_push_apps]] tables in the TOML file, or a JSON list in the variable. Use it instead of
    the settings for a single app (docs/configuration.md)."""
    web_push_hosts: ListOf[Annotated[str, AfterValidator(_push_service)]] = []
    """Hosts of push services beside those of the browsers, such as `push.example.org` for UnifiedPush; several
    separated by commas. `*.` stands for one or more names. For the web process, workers and commands."""
    web_push_allowed_networks: ListOf[Network] = []
    """Private addresses or networks (10.0.0.0/8) at which push services may be; several separated by commas. Empty:
    workers connect to public addresses only."""
    web_push_ca_file: CaFile | None = None
    """CA certificate to trust for push services, instead of the system's CAs."""
    web_push_proxy: ProxyUrl = ""
    """HTTP proxy (http://host:port) for connections to push services. It must refuse private addresses by itself."""

    @property
    def web_push_services(self) -> tuple[str, ...]:
        """All push services that Bellhop sends to."""
        return (*KNOWN_SERVICES, *self.web_push_hosts)


def _public_key_of(secret: str) -> str:
    # Only installations with Web Push need cryptography; importing it takes a tenth of the start of a command.
    from bellhop.vapid_keys import public_key_of  # noqa: PLC0415

    try:
        return public_key_of(secret)
    except ValueError:
        raise ValueError("private_key must be one that `bellhop web-push keys` makes") from None

"""The settings model: every setting with its default, its bounds and its sentence for docs/settings.md."""

import os
import re
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from bellhop.domain.device import Provider
from bellhop.domain.email_address import usable
from bellhop.domain.user import LANGUAGE
from bellhop.settings.apps import SHORTHANDS, ApnsApp, FcmApp, StreamApp
from bellhop.settings.values import (
    Address,
    CallUrl,
    Listed,
    Network,
    OtlpEndpoint,
    Paired,
    ReadableFile,
    RedisUrl,
    Tables,
    TemplatesFolder,
)
from bellhop.store.blocking_client import with_ca

PREFIX = "BELLHOP_"
CONFIG = PREFIX + "CONFIG"
SECRETS_DIR = PREFIX + "SECRETS_DIR"
SHORTEST_SECRET = 16
SHORTEST_PASSWORD = 12
CLIENTS_HEADERS = frozenset({"host", "user-agent", "accept", "cookie", "authorization", "connection"})
"""Every browser sends them, so none of them says that somebody has logged in."""


class Settings(BaseSettings):
    """Everything an operator can set. Environment variables win over the TOML file that BELLHOP_CONFIG names."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", env_ignore_empty=True, use_attribute_docstrings=True
    )

    redis_url: Annotated[RedisUrl, Field(repr=False)] = "redis://127.0.0.1:6379/0"
    """Redis or Valkey 6.2 or newer: redis://, rediss:// (TLS) or unix://, or by its Sentinels
    redis+sentinel://host:port,host:port/service/0 (docs/redis.md)."""
    redis_ca_file: ReadableFile | None = None
    """A CA to trust for rediss:// instead of the system's."""
    redis_wait_replicas: Annotated[int, Field(ge=0, le=9)] = 0
    """How many replicas must have an event before it is answered 200; without them the answer is 503, and Stream
    posts it again."""

    stream_api_key: Annotated[list[str], NoDecode, Listed] = []
    """The Stream app's API key; several separated by commas."""
    stream_api_secret: Annotated[list[SecretStr], NoDecode, Listed] = []
    """The Stream app's API secret; several separated by commas while one is being rotated."""
    stream_apps: Annotated[list[StreamApp], NoDecode, Tables] = []
    """Several Stream apps: [[stream_apps]] tables in the TOML file, or JSON. Instead of the two settings above."""
    sqs_queue_url: str = ""
    """A queue of Amazon's SQS that holds the Stream app's events, for `bellhop sqs`; needs the extra `aws`
    (docs/sqs.md)."""
    sns_topics: Annotated[list[str], NoDecode, Listed] = []
    """The ARNs of Amazon's SNS topics that may post the Stream app's events to /webhooks/sns (docs/sqs.md)."""
    stream_api_url: str = "https://chat.stream-io-api.com"
    """Stream's REST interface, or a stand-in for it: where devices are copied from, and what `bellhop check` asks."""
    stream_device_apps: Annotated[dict[str, str], NoDecode, Paired] = {}
    """Which app a device of Stream's list is of, by the name of its push provider there: ios-voip=com.example.app,….
    Unlisted names mean the one bundle or Firebase project that is configured."""
    stream_fetches_per_s: Annotated[float, Field(ge=0, le=100)] = 0
    """When above 0, a ring for a user without devices copies them from Stream's list first, at most so many users a
    second for all workers. Stream allows 60 a minute unless it was told otherwise."""

    apns_key_file: Path | None = None
    """Apple's token signing key (the .p8 file)."""
    apns_key_id: str = ""
    """The key's ten-character id."""
    apns_team_id: str = ""
    """The ten-character team id."""
    apns_certificate_file: Path | None = None
    """A PEM file with a push certificate and its private key, instead of a token key."""
    apns_topic: str = ""
    """The iOS app's bundle id, without ".voip"."""
    apns_apps: Annotated[list[ApnsApp], NoDecode, Tables] = []
    """Several iOS apps: [[apns_apps]] tables in the TOML file, or JSON. Instead of the settings above."""
    apns_url: str = "https://api.push.apple.com"
    """Apple's push service, or a stand-in for it."""
    apns_sandbox_url: str = "https://api.sandbox.push.apple.com"
    """The same for devices registered in the sandbox environment."""
    apns_ca_file: ReadableFile | None = None
    """A CA to trust for it instead of the system's."""
    apns_proxy: str = ""
    """An HTTP proxy (http://host:port) to reach Apple through."""

    fcm_service_account_file: Path | None = None
    """Firebase's service account file (JSON)."""
    fcm_apps: Annotated[list[FcmApp], NoDecode, Tables] = []
    """Several Firebase projects: [[fcm_apps]] tables in the TOML file, or JSON. Instead of the setting above."""
    fcm_url: str = "https://fcm.googleapis.com"
    """Firebase Cloud Messaging, or a stand-in for it."""
    fcm_ca_file: ReadableFile | None = None
    """A CA to trust for it, and for the token endpoint, instead of the system's."""

    fcm_proxy: str = ""
    """An HTTP proxy (http://host:port) to reach Google through."""
    fcm_without_video: Annotated[list[str], NoDecode, Listed] = []
    """Firebase projects whose rings leave `video` out: Stream's Kotlin SDK then asks the call, and takes no video call
    for an audio one. Not for React Native or Flutter."""

    worker_concurrency: Annotated[int, Field(ge=1, le=10_000)] = 256
    """Jobs that one worker process is busy with at the same time. Those that only wait for a provider do not count, up
    to ten times as many."""
    shutdown_grace_s: Annotated[float, Field(ge=0, le=300)] = 20
    """Seconds that a worker told to stop gives the jobs in flight."""
    ring_default_s: Annotated[float, Field(ge=5, le=180)] = 30
    """How long a call rings when its event does not say."""
    missed_grace_s: Annotated[float, Field(ge=0, le=300)] = 5
    """How long after a ring's end Bellhop waits for Stream's call.missed before it derives one itself."""
    trail_days: Annotated[int, Field(ge=1, le=365)] = 7
    """For how many days after its last webhook Bellhop can say what happened to a call."""
    max_pushes_in_flight: Annotated[int, Field(ge=1, le=10_000)] = 500
    """Pushes that may be under way at the same time, for each provider and app; to Google 128 at most."""

    smtp_host: str = ""
    """The mail server that missed-call e-mails go out by; without it there are none."""
    smtp_port: Annotated[int, Field(ge=1, le=65_535)] = 587
    """Its port: mostly 587 for STARTTLS, 465 for TLS, 25 for neither."""
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    """How the connection is encrypted: after STARTTLS, from the first byte, or not at all."""
    smtp_user: str = ""
    """The name to log in with; without it there is no login."""
    smtp_password: SecretStr | None = None
    """Its password."""
    smtp_timeout_s: Annotated[float, Field(ge=0.1, le=60)] = 30
    """How long the mail server may take for each step; four times that once it has the whole e-mail."""
    smtp_ca_file: ReadableFile | None = None
    """A CA to trust for it instead of the system's."""
    mail_from: str = ""
    """The address that e-mails come from, and that bounces go to."""
    mail_from_name: str = ""
    """What to call the sender: your app's name. Without it, the domain of BELLHOP_MAIL_FROM."""
    mail_policy: Literal["always", "unpushed", "never"] = "unpushed"
    """When a missed call makes an e-mail: always, only when no push notice of it was accepted, or never."""
    mail_window_s: Annotated[int, Field(ge=0, le=86_400)] = 300
    """How long an e-mail waits for more missed calls of the same caller, to tell of all of them at once."""
    mail_call_url: CallUrl = ""
    """The link back to the call, with {call_type}, {call_id}, {session_id} and {user_id} filled in."""
    mail_custom_fields: Annotated[list[str], NoDecode, Listed] = []
    """Custom fields of the call that e-mails show; several separated by commas."""
    mail_secret: Annotated[list[SecretStr], NoDecode, Listed] = []
    """Signs the unsubscribe links, 16 characters or more; several separated by commas while one is being rotated."""
    public_url: str = ""
    """Where users reach the web process, https://…: the unsubscribe links lead there."""
    default_language: Annotated[str, Field(pattern=LANGUAGE)] = "en"
    """The language for users of whom none is known."""
    templates_folder: TemplatesFolder = None
    """A folder of your own texts and templates (docs/mail.md)."""

    web_host: Address = "127.0.0.1"
    """The IP address at which the web process listens; 0.0.0.0 for every interface."""
    web_port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    """Its port."""
    web_processes: Annotated[int, Field(ge=1, le=64)] = 1
    """How many processes it runs."""
    web_threads: Annotated[int, Field(ge=1, le=128)] = 8
    """Threads in each of them."""
    web_trusted_hops: Annotated[int, Field(ge=0, le=9)] = 0
    """How many proxies stand in front of it, each of which adds to X-Forwarded-For where a request came from. 0: that
    header is not believed (docs/proxies.md)."""
    webhook_networks: Annotated[list[Network], NoDecode, Listed] = []
    """The addresses that may post webhooks; several separated by commas, also as 192.0.2.0/24. Empty: any address,
    since the signature decides."""
    api_writes_per_minute: Annotated[int, Field(ge=1)] = 60
    """Changes to their devices, contact and preferences that a user's token may make in a minute."""

    console_password: SecretStr = SecretStr("")
    """Opens the console at /console, 12 characters or more; without it, and without the setting below, it is off."""
    console_proxy_header: str = ""
    """The header in which a reverse proxy names who it has logged in, such as X-Forwarded-User: they may use the
    console. The proxy must drop it from what it is sent."""
    console_trusted_proxies: Annotated[list[Network], NoDecode, Listed] = ["127.0.0.1", "::1"]
    """The addresses from which that header is believed; several separated by commas, also as 10.0.0.0/8."""

    metrics_token: SecretStr = SecretStr("")
    """The bearer token that opens GET /metrics, 16 characters or more; without it the page is off."""
    receipt_secret: SecretStr = SecretStr("")
    """Signs the receipt in a push with which the phone may report that it rang (POST /v1/receipts); 16 characters or
    more."""
    otlp_endpoint: OtlpEndpoint = ""
    """Where traces go (OTLP over HTTP, such as http://collector:4318/v1/traces); needs the extra `otel`."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important log lines to print."""
    log_format: Literal["json", "console"] = "json"
    """JSON lines for machines, or text for people."""

    @model_validator(mode="before")
    @classmethod
    def _gather_single_apps(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Turn the settings for one app into a list of one, so that the code knows lists only."""
        for apps, fields in SHORTHANDS.items():
            given = {field: values[name] for name, field in fields.items() if values.get(name)}
            if given and values.get(apps):
                raise ValueError(f"set either {PREFIX}{apps.upper()} or the settings for a single app, not both")
            if given:
                values[apps] = [given]
        return values

    @field_validator("stream_apps")
    @classmethod
    def _a_key_names_one_app(cls, apps: list[StreamApp]) -> list[StreamApp]:
        count = Counter(key.strip() for app in apps for key in app.api_keys)
        if twice := sorted(key for key, times in count.items() if times > 1):
            raise ValueError(f"the API key {twice[0]} is listed twice: it must name one app")
        return apps

    @model_validator(mode="after")
    def _each_app_is_a_tenant_of_its_own(self) -> Self:
        tenants = [app.tenant for app in self.stream_apps]
        if twice := sorted({tenant for tenant in tenants if tenants.count(tenant) > 1}):
            raise ValueError(
                f'two of {variable("stream_apps")} are the tenant "{twice[0]}": give each a `tenant` of its own, or '
                "their users and calls would be the same"
            )
        return self

    @model_validator(mode="after")
    def _redis_url_names_its_ca(self) -> Self:
        # So the URL is all that anybody needs to connect.
        if self.redis_ca_file is not None and "ssl_ca_certs" not in self.redis_url:
            if not self.redis_url.startswith("rediss"):
                raise ValueError(f"{variable('redis_ca_file')} is of no use without rediss:// or rediss+sentinel://")
            self.redis_url = with_ca(self.redis_url, str(self.redis_ca_file))
        return self

    @property
    def console(self) -> bool:
        """Whether there is a console."""
        return bool(self.console_password.get_secret_value() or self.console_proxy_header)

    @property
    def push_apps(self) -> frozenset[tuple[str, str]]:
        """Provider and app of every way that these settings have credentials for."""
        apple = ((Provider.APNS, app.topic) for app in self.apns_apps)
        return frozenset([*apple, *((Provider.FCM, app.project_id) for app in self.fcm_apps)])

    @model_validator(mode="after")
    def _known_projects_are_without_video(self) -> Self:
        if self.fcm_without_video and self.fcm_apps:
            known = {app.project_id for app in self.fcm_apps}
            for project in self.fcm_without_video:
                if project not in known:
                    name = variable("fcm_without_video")
                    raise ValueError(f"{name}: there is no {project} among the Firebase projects")
        return self

    @field_validator("console_password")
    @classmethod
    def _no_short_password(cls, password: SecretStr) -> SecretStr:
        if 0 < len(password.get_secret_value()) < SHORTEST_PASSWORD:
            raise ValueError(f"is too short: {SHORTEST_PASSWORD} characters at least")
        return password

    @field_validator("metrics_token", "receipt_secret")
    @classmethod
    def _no_short_secret(cls, secret: SecretStr) -> SecretStr:
        # A receipt goes to a phone: a short secret could be found at home.
        if 0 < len(secret.get_secret_value()) < SHORTEST_SECRET:
            raise ValueError(f"is too short: {SHORTEST_SECRET} characters at least")
        return secret

    @field_validator("console_proxy_header")
    @classmethod
    def _no_header_of_clients(cls, name: str) -> str:
        if name and (not re.fullmatch(r"[A-Za-z0-9-]+", name) or name.lower() in CLIENTS_HEADERS):
            raise ValueError("must be the name of a header that only your proxy sets, such as X-Forwarded-User")
        return name

    @model_validator(mode="after")
    def _mail_is_complete(self) -> Self:
        if any(len(secret.get_secret_value()) < SHORTEST_SECRET for secret in self.mail_secret):
            raise ValueError(f"{variable('mail_secret')} is too short: {SHORTEST_SECRET} characters at least")
        if not self.smtp_host:
            return self
        missing = [name for name in ("mail_from", "mail_secret", "public_url") if not getattr(self, name)]
        if missing:
            names = " and ".join(variable(name) for name in missing)
            raise ValueError(f"{names} missing: e-mails need a sender, and a link that stops them")
        if usable(self.mail_from) != self.mail_from:
            raise ValueError(f"{variable('mail_from')} is no e-mail address, such as calls@example.com")
        if not re.match(r"https://[^/]|http://(127\.0\.0\.1|localhost)([:/]|$)", self.public_url):
            raise ValueError(f"{variable('public_url')} must begin with https://, or mail programs ignore the link")
        if self.smtp_user and self.smtp_security == "none" and self.smtp_host not in {"127.0.0.1", "::1", "localhost"}:
            raise ValueError(f"{variable('smtp_security')} is none, which would send the password in the clear")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment first, then the folder BELLHOP_SECRETS_DIR, then the TOML file that BELLHOP_CONFIG names."""
        sources = [init_settings, env_settings]
        if (folder := os.environ.get(SECRETS_DIR)) and Path(folder).is_dir():
            sources.append(SecretsSettingsSource(settings_cls, folder, env_prefix=""))
        if config := os.environ.get(CONFIG):
            sources.append(TomlConfigSettingsSource(settings_cls, Path(config)))
        return tuple(sources)


def variable(setting: str) -> str:
    """Name the environment variable of a setting."""
    return PREFIX + setting.upper()

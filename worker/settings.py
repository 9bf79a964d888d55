"""All settings: one validated model, read from BELLHOP_* environment variables and an optional TOML file."""

import difflib
import json
import os
import re
from importlib.util import find_spec
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from worker.address import usable
from worker.people import LANGUAGE
from worker.redis_clients import parse, with_ca
from worker.rendering import Templates
from worker.texts import Texts

PREFIX = "BELLHOP_"
CONFIG = PREFIX + "CONFIG"
SECRETS_DIR = PREFIX + "SECRETS_DIR"
SHORTEST_SECRET = 16
SHORTEST_PASSWORD = 12
CLIENTS_HEADERS = frozenset({"host", "user-agent", "accept", "cookie", "authorization", "connection"})
"""Every browser sends them, so none of them says that somebody has logged in."""
Role = Literal["web", "worker", "sqs"]


class ConfigurationError(Exception):
    """The settings are not usable. `problems` holds one sentence for each, saying what to set."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def _split(value: Any) -> Any:
    """Read a list from an environment variable: separated by commas, or JSON."""
    if not isinstance(value, str):
        return value
    return json.loads(value) if value.lstrip().startswith("[") else [part.strip() for part in value.split(",")]


def _pairs(value: Any) -> Any:
    """Read a mapping from an environment variable: name=value, separated by commas."""
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in value.split(",") if part.strip()]
    if not all(name.strip() and text.strip() for name, _, text in pairs):
        raise ValueError("must be name=value, several separated by commas")
    return {name.strip(): text.strip() for name, _, text in pairs}


def _readable(path: Path) -> Path:
    try:
        path.open("rb").close()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    return path


def _redis_url(url: str) -> str:
    parse(url)
    return url


def _call_url(template: str) -> str:
    if strange := set(re.findall(r"\{(.*?)\}", template)) - {"call_type", "call_id", "session_id", "user_id"}:
        raise ValueError(
            f"there is no {{{strange.pop()}}}; there are {{call_type}}, {{call_id}}, {{session_id}} and {{user_id}}"
        )
    if template and not re.match(r"[a-z][a-z0-9+.-]*://", template):
        raise ValueError("must begin with https:// or the scheme of your app")
    return template


def _templates(folder: Path | None) -> Path | None:
    if folder is not None and not folder.is_dir():
        raise ValueError(f"{folder} is no folder")
    Texts(folder)
    Templates(folder)
    return folder


def _otlp_endpoint(url: str) -> str:
    if not url:
        return url
    if not url.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    if find_spec("opentelemetry") is None or find_spec("opentelemetry.sdk") is None:
        raise ValueError('needs OpenTelemetry: pip install "bellhop[otel]"')
    return url


def _sqs_queue_url(url: str) -> str:
    if url and not url.startswith(("https://", "http://")):
        raise ValueError("must be the queue's URL, https://sqs.…")
    if url and find_spec("boto3") is None:
        raise ValueError('needs boto3: pip install "bellhop[aws]"')
    return url


def _topic(arn: str) -> str:
    if not re.fullmatch(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_.-]+", arn):
        raise ValueError("must be a topic's ARN, arn:aws:sns:<region>:<account>:<name>")
    return arn


def _network(text: str) -> str:
    ip_network(text)
    return text


Network = Annotated[str, AfterValidator(_network)]
Topic = Annotated[str, AfterValidator(_topic)]
ReadableFile = Annotated[Path, AfterValidator(_readable)]


class StreamApp(BaseModel):
    """One app on Stream's dashboard: a tenant. Users, calls and devices of two tenants never mix."""

    model_config = ConfigDict(extra="forbid")

    tenant: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] = "default"
    """Its name here and in Redis."""
    api_keys: Annotated[list[str], Field(min_length=1), BeforeValidator(_split)]
    api_secrets: Annotated[list[SecretStr], Field(min_length=1), BeforeValidator(_split)]
    """Several while a secret is being rotated: each of them verifies."""
    sqs_queue_url: Annotated[str, AfterValidator(_sqs_queue_url)] = ""
    """A queue of Amazon's SQS that holds its events."""
    sns_topics: Annotated[list[Topic], BeforeValidator(_split)] = []
    """Topics of Amazon's SNS that post its events."""

    @field_validator("api_secrets")
    @classmethod
    def _no_empty_secret(cls, secrets: list[SecretStr]) -> list[SecretStr]:
        # An empty HMAC key would let anybody sign.
        if any(not secret.get_secret_value().strip() for secret in secrets):
            raise ValueError("is empty: an empty secret would let anybody sign webhooks")
        return secrets

    @field_validator("api_keys")
    @classmethod
    def _no_empty_key(cls, keys: list[str]) -> list[str]:
        if any(not key.strip() for key in keys):
            raise ValueError("is empty: it names your Stream app")
        return keys


class ApnsApp(BaseModel):
    """One iOS app (bundle) and the credentials that may push to it: a token key, or a certificate."""

    model_config = ConfigDict(extra="forbid")

    topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+$")]
    """The bundle id, without ".voip"."""
    key_file: ReadableFile | None = None
    key_id: str = ""
    team_id: str = ""
    certificate_file: ReadableFile | None = None
    """A PEM file that holds the certificate and its private key, instead of key_file, key_id and team_id."""

    @field_validator("topic")
    @classmethod
    def _is_bundle_id(cls, topic: str) -> str:
        if topic.endswith(".voip"):
            raise ValueError('is the bundle id alone; Bellhop adds ".voip" itself')
        return topic

    @model_validator(mode="after")
    def _one_way_to_authenticate(self) -> Self:
        if self.certificate_file is not None:
            if self.key_file is not None:
                raise ValueError("set either key_file or certificate_file, not both")
            return self
        missing = [name for name in ("key_file", "key_id", "team_id") if not getattr(self, name)]
        if missing:
            raise ValueError(f"{', '.join(missing)} missing: Apple's token key needs key_file, key_id and team_id")
        return self


class FcmApp(BaseModel):
    """One Firebase project, named by its service account file (whose token_uri is honoured)."""

    model_config = ConfigDict(extra="forbid")

    service_account_file: ReadableFile

    @field_validator("service_account_file")
    @classmethod
    def _is_service_account(cls, path: Path) -> Path:
        try:
            account = json.loads(path.read_bytes())
        except ValueError:
            raise ValueError(f"{path} is no service account file: it is not JSON") from None
        account = account if isinstance(account, dict) else {}
        absent = [name for name in ("project_id", "client_email", "private_key", "token_uri") if not account.get(name)]
        if absent:
            raise ValueError(f"{path} is no service account file: it has no {', '.join(absent)}")
        return path

    @property
    def project_id(self) -> str:
        """The Firebase project that the file is for."""
        return cast(str, json.loads(self.service_account_file.read_bytes())["project_id"])


SHORTHANDS = {
    "stream_apps": {
        "stream_api_key": "api_keys",
        "stream_api_secret": "api_secrets",
        "sqs_queue_url": "sqs_queue_url",
        "sns_topics": "sns_topics",
    },
    "apns_apps": {
        "apns_topic": "topic",
        "apns_key_file": "key_file",
        "apns_key_id": "key_id",
        "apns_team_id": "team_id",
        "apns_certificate_file": "certificate_file",
    },
    "fcm_apps": {"fcm_service_account_file": "service_account_file"},
}
"""The settings for one app, and the field of an app that each of them is."""


class Settings(BaseSettings):
    """Everything an operator can set. Environment variables win over the TOML file that BELLHOP_CONFIG names."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", env_ignore_empty=True, use_attribute_docstrings=True
    )

    redis_url: Annotated[str, Field(repr=False), AfterValidator(_redis_url)] = "redis://127.0.0.1:6379/0"
    """Redis or Valkey 6.2 or newer: redis://, rediss:// (TLS) or unix://, or by its Sentinels
    redis+sentinel://host:port,host:port/service/0 (docs/redis.md)."""
    redis_ca_file: ReadableFile | None = None
    """A CA to trust for rediss:// instead of the system's."""
    redis_wait_replicas: Annotated[int, Field(ge=0, le=9)] = 0
    """How many replicas must have an event before it is answered 200; without them the answer is 503, and Stream
    posts it again."""

    stream_api_key: Annotated[list[str], NoDecode, BeforeValidator(_split)] = []
    """The Stream app's API key; several separated by commas."""
    stream_api_secret: Annotated[list[SecretStr], NoDecode, BeforeValidator(_split)] = []
    """The Stream app's API secret; several separated by commas while one is being rotated."""
    stream_apps: list[StreamApp] = []
    """Several Stream apps: [[stream_apps]] tables in the TOML file, or JSON. Instead of the two settings above."""
    sqs_queue_url: str = ""
    """A queue of Amazon's SQS that holds the Stream app's events, for `bellhop sqs`; needs the extra `aws`
    (docs/sqs.md)."""
    sns_topics: Annotated[list[str], NoDecode, BeforeValidator(_split)] = []
    """The ARNs of Amazon's SNS topics that may post the Stream app's events to /webhooks/sns (docs/sqs.md)."""
    stream_api_url: str = "https://chat.stream-io-api.com"
    """Stream's REST interface, or a stand-in for it: where devices are copied from."""
    stream_device_apps: Annotated[dict[str, str], NoDecode, BeforeValidator(_pairs)] = {}
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
    apns_apps: list[ApnsApp] = []
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
    fcm_apps: list[FcmApp] = []
    """Several Firebase projects: [[fcm_apps]] tables in the TOML file, or JSON. Instead of the setting above."""
    fcm_url: str = "https://fcm.googleapis.com"
    """Firebase Cloud Messaging, or a stand-in for it."""
    fcm_ca_file: ReadableFile | None = None
    """A CA to trust for it, and for the token endpoint, instead of the system's."""

    fcm_proxy: str = ""
    """An HTTP proxy (http://host:port) to reach Google through."""

    worker_concurrency: Annotated[int, Field(ge=1, le=10_000)] = 256
    """Jobs that one worker process runs at the same time."""
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
    mail_call_url: Annotated[str, AfterValidator(_call_url)] = ""
    """The link back to the call, with {call_type}, {call_id}, {session_id} and {user_id} filled in."""
    mail_custom_fields: Annotated[list[str], NoDecode, BeforeValidator(_split)] = []
    """Custom fields of the call that e-mails show; several separated by commas."""
    mail_secret: Annotated[list[SecretStr], NoDecode, BeforeValidator(_split)] = []
    """Signs the unsubscribe links, 16 characters or more; several separated by commas while one is being rotated."""
    public_url: str = ""
    """Where users reach the web process, https://…: the unsubscribe links lead there."""
    default_language: Annotated[str, Field(pattern=LANGUAGE)] = "en"
    """The language for users of whom none is known."""
    templates_folder: Annotated[Path | None, AfterValidator(_templates)] = None
    """A folder of your own texts and templates (docs/mail.md)."""

    web_host: str = "127.0.0.1"
    """Where the web process listens; 0.0.0.0 for every interface."""
    web_port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    """Its port."""
    web_processes: Annotated[int, Field(ge=1, le=64)] = 1
    """How many processes it runs."""
    web_threads: Annotated[int, Field(ge=1, le=128)] = 8
    """Threads in each of them."""
    web_trusted_hops: Annotated[int, Field(ge=0, le=9)] = 0
    """How many proxies stand in front of it, each of which adds to X-Forwarded-For where a request came from. 0: that
    header is not believed (docs/proxies.md)."""
    webhook_networks: Annotated[list[Network], NoDecode, BeforeValidator(_split)] = []
    """The addresses that may post webhooks; several separated by commas, also as 192.0.2.0/24. Empty: any address,
    since the signature decides."""
    api_writes_per_minute: Annotated[int, Field(ge=1)] = 60
    """Changes to their devices, contact and preferences that a user's token may make in a minute."""

    console_password: SecretStr = SecretStr("")
    """Opens the console at /console, 12 characters or more; without it, and without the setting below, it is off."""
    console_proxy_header: str = ""
    """The header in which a reverse proxy names who it has logged in, such as X-Forwarded-User: they may use the
    console. The proxy must drop it from what it is sent, spelt with underscores, too."""
    console_trusted_proxies: Annotated[list[Network], NoDecode, BeforeValidator(_split)] = ["127.0.0.1", "::1"]
    """The addresses from which that header is believed; several separated by commas, also as 10.0.0.0/8."""

    metrics_token: SecretStr = SecretStr("")
    """The bearer token that opens GET /metrics; without it the page is off."""
    receipt_secret: SecretStr = SecretStr("")
    """Signs the receipt in a push with which the phone may report that it rang (POST /v1/receipts)."""
    otlp_endpoint: Annotated[str, AfterValidator(_otlp_endpoint)] = ""
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

    @model_validator(mode="after")
    def _redis_url_names_its_ca(self) -> Self:
        # So the URL is all that anybody needs to connect.
        if self.redis_ca_file is not None and "ssl_ca_certs" not in self.redis_url:
            if not self.redis_url.startswith("rediss"):
                raise ValueError(f"{_variable('redis_ca_file')} is of no use without rediss:// or rediss+sentinel://")
            self.redis_url = with_ca(self.redis_url, str(self.redis_ca_file))
        return self

    @property
    def console(self) -> bool:
        """Whether there is a console."""
        return bool(self.console_password.get_secret_value() or self.console_proxy_header)

    @field_validator("console_password")
    @classmethod
    def _no_short_password(cls, password: SecretStr) -> SecretStr:
        if 0 < len(password.get_secret_value()) < SHORTEST_PASSWORD:
            raise ValueError(f"is too short: {SHORTEST_PASSWORD} characters at least")
        return password

    @field_validator("console_proxy_header")
    @classmethod
    def _no_header_of_clients(cls, name: str) -> str:
        if name and (not re.fullmatch(r"[A-Za-z0-9-]+", name) or name.lower() in CLIENTS_HEADERS):
            raise ValueError("must be the name of a header that only your proxy sets, such as X-Forwarded-User")
        return name

    @model_validator(mode="after")
    def _mail_is_complete(self) -> Self:
        if any(len(secret.get_secret_value()) < SHORTEST_SECRET for secret in self.mail_secret):
            raise ValueError(f"{_variable('mail_secret')} is too short: {SHORTEST_SECRET} characters at least")
        if not self.smtp_host:
            return self
        missing = [name for name in ("mail_from", "mail_secret", "public_url") if not getattr(self, name)]
        if missing:
            names = " and ".join(_variable(name) for name in missing)
            raise ValueError(f"{names} missing: e-mails need a sender, and a link that stops them")
        if usable(self.mail_from) != self.mail_from:
            raise ValueError(f"{_variable('mail_from')} is no e-mail address, such as calls@example.com")
        if not re.match(r"https://[^/]|http://(127\.0\.0\.1|localhost)([:/]|$)", self.public_url):
            raise ValueError(f"{_variable('public_url')} must begin with https://, or mail programs ignore the link")
        if self.smtp_user and self.smtp_security == "none" and self.smtp_host not in {"127.0.0.1", "::1", "localhost"}:
            raise ValueError(f"{_variable('smtp_security')} is none, which would send the password in the clear")
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


def load(role: Role | None = None) -> Settings:
    """Read the settings, and check that they hold what `role` needs.

    Raises ConfigurationError with every problem at once.
    """
    problems = [*_unknown_variables(), *_unknown_secrets()]
    config = os.environ.get(CONFIG)
    if config and not Path(config).is_file():
        problems.append(f"{CONFIG}: there is no file {config}")
    try:
        settings = Settings()
    except ValidationError as error:
        raise ConfigurationError(problems + [_sentence(detail) for detail in error.errors()]) from None
    except (SettingsError, OSError, ValueError) as error:
        raise ConfigurationError([*problems, str(error)]) from None
    if role == "sqs" and not any(app.sqs_queue_url for app in settings.stream_apps):
        problems.append(f"{PREFIX}SQS_QUEUE_URL is not set: copy the queue's URL from Amazon's console")
    if role in {"web", "sqs"} and not settings.stream_apps:
        problems.append(
            f"{PREFIX}STREAM_API_KEY and {PREFIX}STREAM_API_SECRET are not set: copy them from Stream's dashboard"
        )
    if role == "worker" and not settings.apns_apps and not settings.fcm_apps:
        problems.append(
            f"no push provider is configured: set {PREFIX}APNS_TOPIC, {PREFIX}APNS_KEY_FILE, {PREFIX}APNS_KEY_ID and "
            f"{PREFIX}APNS_TEAM_ID for iPhones, {PREFIX}FCM_SERVICE_ACCOUNT_FILE for Android, or both"
        )
    if role == "worker" and settings.stream_fetches_per_s and not settings.stream_apps:
        problems.append(f"{PREFIX}STREAM_FETCHES_PER_S needs {PREFIX}STREAM_API_KEY and {PREFIX}STREAM_API_SECRET")
    if problems:
        raise ConfigurationError(problems)
    return settings


def reference() -> str:
    """Every setting as a row of a Markdown table: the variable, its default, what it is for."""
    rows = ["| variable | default | what it is for |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        value = ",".join(field.default) if isinstance(field.default, list) else field.default
        default = f"`{value}`" if value is not None and str(value) not in ("", "{}") else ""
        rows.append(f"| `{PREFIX}{name.upper()}` | {default} | {' '.join((field.description or '').split())} |")
    rows.append(f"| `{CONFIG}` | | A TOML file with any of these settings, lower-case and without the prefix. |")
    rows.append(f"| `{SECRETS_DIR}` | | A folder with a file for each secret, named as in the TOML file. |")
    return "\n".join(rows)


def _unknown_variables() -> list[str]:
    known = {PREFIX + name.upper() for name in Settings.model_fields} | {CONFIG, SECRETS_DIR}
    unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
    near = {name: difflib.get_close_matches(name, known, n=1) for name in unknown}
    return [f"{name} is no setting" + (f"; did you mean {near[name][0]}?" if near[name] else "") for name in unknown]


def _unknown_secrets() -> list[str]:
    folder = os.environ.get(SECRETS_DIR)
    if not folder:
        return []
    try:
        # What has a dot in its name is no setting: keys may lie in the folder too, and Kubernetes has links of its own.
        names = sorted(path.name for path in Path(folder).iterdir() if "." not in path.name)
    except OSError as error:
        return [f"{SECRETS_DIR}: {folder} cannot be read: {error.strerror}"]
    return [f"{SECRETS_DIR}: {name} is no setting" for name in names if name not in Settings.model_fields]


def _sentence(detail: Any) -> str:
    """Say one of pydantic's findings with the variable to set. Never shows the value: it may be a secret."""
    first, *rest = detail["loc"] or ("",)
    message = detail["msg"].removeprefix("Value error, ")
    shorthand = {field: name for name, field in SHORTHANDS.get(first, {}).items()}
    if detail["type"] == "missing":
        message = "is not set"
    if shorthand and rest[:1] == [0] and not os.environ.get(PREFIX + first.upper()):
        # Said of the one app that was made of settings for a single app: name those instead.
        if rest == [0]:
            return re.sub(r"\w+", lambda word: _variable(shorthand.get(word[0])) or word[0], message)
        first, rest = shorthand.get(rest[1], first), rest[2:]
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest)
    return f"{_variable(first)}{place}: {message}" if first else message


def _variable(setting: str | None) -> str:
    return f"{PREFIX}{setting.upper()}" if setting else ""

"""Settings: e-mails about missed calls."""

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from bellhop.clock import Seconds
from bellhop.domain.email_address import deliverable_address
from bellhop.domain.user import LANGUAGE
from bellhop.i18n.templates import Templates
from bellhop.i18n.texts import Texts
from bellhop.settings.field_types import SHORTEST_SECRET, CaFile, ListOf, SettingsSection
from bellhop.settings.variables import variable

URL_FIELDS = ("call_type", "call_id", "session_id", "user_id")


def _call_url(template: str) -> str:
    if unknown := set(re.findall(r"\{(.*?)\}", template)) - {*URL_FIELDS}:
        known = ", ".join(f"{{{name}}}" for name in URL_FIELDS)
        raise ValueError(f"has the unknown field {{{unknown.pop()}}}; known fields: {known}")
    if template and not re.match(r"[a-z][a-z0-9+.-]*://", template):
        raise ValueError("must begin with https:// or the scheme of your app")
    return template


def _language(tag: str) -> str:
    if not re.fullmatch(LANGUAGE, tag):
        raise ValueError('must be a language tag, such as "en" or "pt-BR"')
    return tag


def _templates(folder: Path | None) -> Path | None:
    if folder is not None and not folder.is_dir():
        raise ValueError(f"{folder} is not a folder")
    Texts(folder)
    Templates(folder)
    return folder


class MailSettings(SettingsSection):
    """How missed-call e-mails are sent and what they contain."""

    smtp_host: str = ""
    """Host name of the mail server for missed-call e-mails. If it is empty, no e-mails are sent."""
    smtp_port: Annotated[int, Field(ge=1, le=65_535)] = 587
    """Port of the mail server: usually 587 for STARTTLS, 465 for TLS, 25 without encryption."""
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    """Encryption: `starttls` begins unencrypted and then encrypts, `tls` encrypts from the start, `none` never does."""
    smtp_user: str = ""
    """User name for the mail server. If it is empty, Bellhop does not log in."""
    smtp_password: SecretStr | None = None
    """Password for the mail server."""
    smtp_timeout_s: Annotated[Seconds, Field(ge=0.1, le=60)] = Seconds(30)
    """How long the mail server may take for each step; four times as long after the whole e-mail has been sent."""
    smtp_ca_file: CaFile | None = None
    """CA certificate to trust for the mail server, instead of the system's CAs."""
    mail_from: str = ""
    """Sender address of the e-mails. Bounces go there too."""
    mail_from_name: str = ""
    """Sender name, usually your app's name. If it is empty, the domain of BELLHOP_MAIL_FROM."""
    mail_policy: Literal["always", "unpushed", "never"] = "unpushed"
    """When a missed call leads to an e-mail: `always`, `unpushed` (only if no push about it was accepted), or
    `never`."""
    mail_stream_addresses: bool = False
    """If true, a user without a registered address gets e-mails at `user.custom.email` of Stream's event. Set it only
    if users cannot change their custom data themselves: otherwise anybody can enter other people's addresses."""
    mail_per_address_hour: Annotated[int, Field(ge=1, le=1_000)] = 10
    """How many e-mails one address gets in an hour, for all users together."""
    mail_per_caller_hour: Annotated[int, Field(ge=1, le=10_000)] = 100
    """How many e-mails one caller's calls lead to in an hour. A ring at Stream has at most 100 members."""
    mail_window_s: Annotated[int, Field(ge=0, le=86_400)] = 300
    """How long an e-mail waits for more missed calls from the same caller. One e-mail then lists all of them."""
    mail_call_url: Annotated[str, AfterValidator(_call_url)] = ""
    """Link to the call in your app. {call_type}, {call_id}, {session_id} and {user_id} are filled in."""
    mail_custom_fields: ListOf[str] = []
    """Custom fields of the call that the e-mail shows; several separated by commas."""
    mail_secret: ListOf[SecretStr] = []
    """Secret that signs the unsubscribe links, at least 16 characters; several separated by commas while you rotate
    it."""
    public_url: str = ""
    """URL at which users reach the web process, https://…. The unsubscribe links begin with it."""
    default_language: Annotated[str, AfterValidator(_language)] = "en"
    """Language for users whose language is not known."""
    templates_folder: Annotated[Path | None, AfterValidator(_templates)] = None
    """Folder with your own texts and templates (docs/mail.md)."""

    @field_validator("mail_secret")
    @classmethod
    def _no_short_mail_secret(cls, secrets: list[SecretStr]) -> list[SecretStr]:
        if any(len(secret.get_secret_value()) < SHORTEST_SECRET for secret in secrets):
            raise ValueError(f"is too short: each secret must have at least {SHORTEST_SECRET} characters")
        return secrets

    @model_validator(mode="after")
    def _mail_is_complete(self) -> Self:
        if not self.smtp_host:
            return self
        missing = [name for name in ("mail_from", "mail_secret", "public_url") if not getattr(self, name)]
        if missing:
            names = " and ".join(variable(name) for name in missing)
            raise ValueError(f"{names} missing: an e-mail needs a sender and an unsubscribe link")
        if deliverable_address(self.mail_from) != self.mail_from:
            raise ValueError(f"{variable('mail_from')} must be an e-mail address, such as calls@example.com")
        if not re.match(r"https://[^/]|http://(127\.0\.0\.1|localhost)([:/]|$)", self.public_url):
            raise ValueError(f"{variable('public_url')} must begin with https://, or mail programs ignore the link")
        if self.smtp_user and self.smtp_security == "none" and self.smtp_host not in {"127.0.0.1", "::1", "localhost"}:
            raise ValueError(f"{variable('smtp_security')} must not be none: the password would be sent unencrypted")
        return self

"""Settings: Apple's push service, APNs."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from bellhop.settings.field_types import CaFile, ProxyUrl, ReadableFile, SettingsSection, TablesOf, Url

APNS_SHORTHANDS = {
    "apns_topic": "topic",
    "apns_key_file": "key_file",
    "apns_key_id": "key_id",
    "apns_team_id": "team_id",
    "apns_certificate_file": "certificate_file",
}
"""The settings for a single iOS app, and the field of ApnsApp that each of them sets."""


class ApnsApp(BaseModel):
    """One iOS app (bundle) and its credentials: a token key, or a certificate."""

    model_config = ConfigDict(extra="forbid")

    topic: Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+$")]
    """The bundle id, without ".voip"."""
    key_file: ReadableFile | None = None
    key_id: str = ""
    team_id: str = ""
    certificate_file: ReadableFile | None = None
    """A PEM file with the certificate and its private key. Instead of key_file, key_id and team_id."""

    @field_validator("topic")
    @classmethod
    def _is_bundle_id(cls, topic: str) -> str:
        if topic.endswith(".voip"):
            raise ValueError('must be the bundle id without ".voip"; Bellhop adds it')
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


class AppleSettings(SettingsSection):
    """Which iOS apps Bellhop rings, and how it reaches Apple."""

    apns_key_file: Path | None = None
    """Apple's token signing key (the .p8 file)."""
    apns_key_id: str = ""
    """The key's id, ten characters."""
    apns_team_id: str = ""
    """Your team id, ten characters."""
    apns_certificate_file: Path | None = None
    """PEM file with a push certificate and its private key, instead of a token key."""
    apns_topic: str = ""
    """Bundle id of the iOS app, without ".voip"."""
    apns_apps: TablesOf[ApnsApp] = []
    """Several iOS apps: [[apns_apps]] tables in the TOML file, or a JSON list in the variable. Use it instead of the
    settings for a single app (docs/configuration.md)."""
    apns_url: Url = "https://api.push.apple.com"
    """URL of Apple's push service."""
    apns_sandbox_url: Url = "https://api.sandbox.push.apple.com"
    """URL of Apple's push service for devices whose environment is `sandbox`."""
    apns_ca_file: CaFile | None = None
    """CA certificate to trust for Apple's push service, instead of the system's CAs."""
    apns_proxy: ProxyUrl = ""
    """HTTP proxy (http://host:port) for connections to Apple."""

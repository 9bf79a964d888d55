"""Settings: Google's push service, Firebase Cloud Messaging."""

import json
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, PrivateAttr, field_validator, model_validator

from bellhop.settings.field_types import CaFile, ProxyUrl, ReadableFile, SettingsSection, TablesOf, Url

FCM_SHORTHANDS = {"fcm_service_account_file": "service_account_file"}
"""The setting for a single Firebase project, and the field of FcmApp that it sets."""


class FcmApp(BaseModel):
    """One Firebase project, with its service account. Bellhop uses the token_uri of the service account file."""

    model_config = ConfigDict(extra="forbid")

    service_account_file: ReadableFile
    _project_id: str = PrivateAttr()

    @field_validator("service_account_file")
    @classmethod
    def _is_service_account(cls, path: Path) -> Path:
        account = _content(path)
        absent = [name for name in ("project_id", "client_email", "private_key", "token_uri") if not account.get(name)]
        if absent:
            raise ValueError(f"{path} is not a service account file: it has no {', '.join(absent)}")
        return path

    @model_validator(mode="after")
    def _keep_project_id(self) -> Self:
        self._project_id = str(_content(self.service_account_file)["project_id"])
        return self

    @property
    def project_id(self) -> str:
        """The Firebase project of the service account. Read from the file once, when the settings are loaded."""
        return self._project_id


class GoogleSettings(SettingsSection):
    """Which Firebase projects Bellhop rings, and how it reaches Google."""

    fcm_service_account_file: Path | None = None
    """Service account file (JSON) of the Firebase project."""
    fcm_apps: TablesOf[FcmApp] = []
    """Several Firebase projects: [[fcm_apps]] tables in the TOML file, or a JSON list in the variable. Use it instead
    of the setting for a single project (docs/configuration.md)."""
    fcm_url: Url = "https://fcm.googleapis.com"
    """URL of Firebase Cloud Messaging."""
    fcm_ca_file: CaFile | None = None
    """CA certificate to trust for Firebase Cloud Messaging and the token endpoint, instead of the system's CAs."""
    fcm_proxy: ProxyUrl = ""
    """HTTP proxy (http://host:port) for connections to Google."""


def _content(path: Path) -> dict[str, Any]:
    try:
        account = json.loads(path.read_bytes())
    except ValueError:
        raise ValueError(f"{path} is not a service account file: it is not JSON") from None
    return account if isinstance(account, dict) else {}

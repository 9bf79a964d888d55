"""The apps that Bellhop serves: Stream's, Apple's bundles and Firebase's projects, each with its credentials."""

import json
from pathlib import Path
from typing import Annotated, Self, cast

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from bellhop.settings.values import Listed, ReadableFile, SqsQueueUrl, Topic


class StreamApp(BaseModel):
    """One app on Stream's dashboard: a tenant. Users, calls and devices of two tenants never mix."""

    model_config = ConfigDict(extra="forbid")

    tenant: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] = "default"
    """Its name here and in Redis."""
    api_keys: Annotated[list[str], Field(min_length=1), Listed]
    api_secrets: Annotated[list[SecretStr], Field(min_length=1), Listed]
    """Several while a secret is being rotated: each of them verifies."""
    sqs_queue_url: SqsQueueUrl = ""
    """A queue of Amazon's SQS that holds its events."""
    sns_topics: Annotated[list[Topic], Listed] = []
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

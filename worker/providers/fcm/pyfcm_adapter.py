"""All that Bellhop uses of pyfcm. No other module of Bellhop imports pyfcm.

Used:

- `FCMNotification.parse_payload` builds the request body of one message.
- `FCMNotification.fcm_end_point` is the address to which the project's messages are posted.
- google-auth, which pyfcm brings along, signs the request for an access token.

Replaced, because a ring must get exactly one answer, and in time:

- The transport (`notify`). It blocks a thread, for minutes if Google asks to wait. It repeats requests by itself. Its
  exceptions do not tell a dead token from a wrong configuration. `FcmSender` posts the body with aiohttp.
- The fetching of the access token, which blocks a thread too, and is done once per thread. `AccessTokens` fetches one
  token for all pushes.
- The reading of the service account file: google-auth would also check the numbers of its private key, which takes
  40 ms for each app.
- `json_dumps`: pydantic's encoder takes a fifth of the time.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from google.auth.crypt import RSASigner
from google.oauth2 import service_account
from pydantic_core import to_json
from pyfcm import FCMNotification

from bellhop.pem_key import read_pem_key
from worker.providers.fcm.fcm_access import SCOPE


class FcmMessage(NamedTuple):
    """One message, in the parts of Google's own form (projects.messages)."""

    token: str
    data: dict[str, str]
    android: dict[str, Any]
    fcm_options: dict[str, str] | None = None
    apns: dict[str, Any] | None = None


class FcmProject:
    """One Firebase project: its credentials, its address, and the bodies of the requests to it."""

    def __init__(self, service_account_file: Path, url: str) -> None:
        """Raises OSError, ValueError or KeyError for a file that is not a service account."""
        account = json.loads(service_account_file.read_bytes())
        self.credentials = _credentials(account, service_account_file)
        self.token_uri: str = account["token_uri"]
        self._pyfcm = FCMNotification(credentials=self.credentials)
        self._pyfcm.json_dumps = to_json
        self._pyfcm.FCM_END_POINT_BASE = f"{url.rstrip('/')}/v1/projects"

    @property
    def endpoint(self) -> str:
        """The URL to post messages to."""
        return str(self._pyfcm.fcm_end_point)

    def body(self, message: FcmMessage, *, dry_run: bool = False) -> bytes:
        """Build the body of one request. Raises AttributeError, TypeError or ValueError for data that is not text."""
        body: bytes = self._pyfcm.parse_payload(
            fcm_token=message.token,
            data_payload=message.data,
            android_config=message.android,
            fcm_options=message.fcm_options,
            apns_config=message.apns,
            dry_run=dry_run,
        )
        return body


def _credentials(account: dict[str, str], file: Path) -> service_account.Credentials:
    key = read_pem_key(str(account["private_key"]).encode())
    if not isinstance(key, RSAPrivateKey):
        raise ValueError(f"the private key in {file} cannot be read: download the file again from the Firebase console")
    return service_account.Credentials(  # type: ignore[no-untyped-call]
        RSASigner(key, account.get("private_key_id")),  # type: ignore[no-untyped-call]
        account["client_email"],
        account["token_uri"],
        scopes=[SCOPE],
        project_id=account["project_id"],
    )

"""A worker with credentials for very many apps starts quickly, and connects for those that ring."""

import ssl
from dataclasses import dataclass, field

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bellhop.domain.device import Provider
from bellhop.sandbox.google_server import GoogleStandIn
from bellhop.settings import ApnsApp, FcmApp, Settings
from bellhop.store.async_client import Store
from worker.main import WARM_APPS, warm_up
from worker.providers.client_tls import client_tls
from worker.providers.configured import configured_senders

APPS = 100


def settings_of_many_apps(folder, apps: int = APPS) -> Settings:
    google = GoogleStandIn(folder)
    apple, firebase = [], []
    for number in range(apps):
        key_file = folder / f"{number}.p8"
        key = ec.generate_private_key(ec.SECP256R1())
        key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        team = {"key_id": f"KEY{number:07}", "team_id": f"TEAM{number:06}"}
        apple.append(ApnsApp(topic=f"com.example.app{number}", key_file=key_file, **team))
        account = google.write_service_account(folder / f"{number}.json", f"project-{number}")
        firebase.append(FcmApp(service_account_file=account))
    return Settings(apns_apps=apple, fcm_apps=firebase)


async def test_all_credentials_load_without_a_store_of_cas(tmp_path, redis_url, monkeypatch):
    """Each store of CAs takes 50 ms and 1 MB: one for each app made 1,000 apps start in 90 seconds, with 1.7 GB."""
    settings = settings_of_many_apps(tmp_path)
    monkeypatch.setattr(ssl, "create_default_context", None)

    senders = configured_senders(settings, Store.from_url(redis_url))

    assert len(senders) == 2 * APPS
    assert (Provider.FCM, f"project-{APPS - 1}") in senders


@pytest.mark.parametrize("setting", ["apns_ca_file", "fcm_ca_file"])
async def test_a_ca_file_without_certificates_stops_the_start(tmp_path, redis_url, setting):
    settings = settings_of_many_apps(tmp_path, apps=1)
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text("not a certificate")
    with pytest.raises(ssl.SSLError):  # an OSError: worker.main reports it, and does not start
        configured_senders(settings.model_copy(update={setting: ca_file}), Store.from_url(redis_url))


def test_apps_share_a_store_of_cas():
    assert client_tls(None, alpn=("h2",)) is client_tls(None, alpn=("h2",))
    assert client_tls(None) is client_tls(None)


@dataclass
class CountingSender:
    warmed: list[int] = field(default_factory=list)

    async def warm(self) -> None:
        self.warmed.append(1)


async def test_only_so_many_apps_connect_ahead(store):
    sender = CountingSender()
    senders = {(Provider.APNS, f"com.example.app{number}"): sender for number in range(WARM_APPS + 10)}

    await warm_up(store, senders)

    assert len(sender.warmed) == WARM_APPS

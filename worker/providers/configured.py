"""The senders that the settings have credentials for."""

from bellhop.domain.device import Provider
from bellhop.settings import ApnsApp, FcmApp, Settings
from bellhop.store.async_client import Store
from worker.providers.apns.apns_sender import ApnsSender
from worker.providers.apns.provider_token import ProviderToken, RedisTokenStore
from worker.providers.fcm.fcm_sender import FcmSender

Senders = dict[tuple[Provider, str], ApnsSender | FcmSender]


def configured(settings: Settings, store: Store) -> Senders:
    """Make one sender for each app that has credentials. Raises ValueError or OSError when some cannot be loaded."""
    return {
        **{(Provider.APNS, app.topic): apns(app, settings, store) for app in settings.apns_apps},
        **{(Provider.FCM, app.project_id): fcm(app, settings) for app in settings.fcm_apps},
    }


def apns(app: ApnsApp, settings: Settings, store: Store) -> ApnsSender:
    """Make the sender for one iOS app; its provider token is shared through Redis."""
    token = None
    if app.key_file is not None:
        key = app.key_file.read_text(encoding="utf-8")
        token = ProviderToken(key, app.key_id, app.team_id, RedisTokenStore(store, app.team_id, app.key_id))
    return ApnsSender(
        app.topic,
        token=token,
        certificate_file=app.certificate_file,
        url=settings.apns_url,
        sandbox_url=settings.apns_sandbox_url,
        ca_file=settings.apns_ca_file,
        proxy=settings.apns_proxy,
    )


def fcm(app: FcmApp, settings: Settings) -> FcmSender:
    """Make the sender for one Firebase project."""
    return FcmSender(
        app.service_account_file,
        settings.fcm_url,
        settings.fcm_ca_file,
        settings.fcm_proxy,
        without_video=app.project_id in settings.fcm_without_video,
    )

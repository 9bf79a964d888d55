"""The senders that the settings have credentials for."""

from worker.domain.device import Provider
from worker.senders.apns import ApnsSender
from worker.senders.apns_token import ProviderToken, RedisTokenStore
from worker.senders.fcm import FcmSender
from worker.settings import ApnsApp, FcmApp, Settings
from worker.storage.store import Store

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

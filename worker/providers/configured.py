"""The senders that the settings have credentials for."""

from bellhop.domain.device import Provider
from bellhop.settings import ApnsApp, FcmApp, Settings, WebPushApp
from bellhop.store.async_client import Store
from worker.providers.apns.apns_sender import ApnsSender
from worker.providers.apns.provider_token import ProviderToken
from worker.providers.apns.token_store import RedisTokenStore
from worker.providers.fcm.fcm_sender import FcmSender
from worker.providers.web_push.vapid import VapidHeaders
from worker.providers.web_push.web_push_sender import WebPushSender

Senders = dict[tuple[Provider, str], ApnsSender | FcmSender | WebPushSender]
"""By provider and app: the bundle id, the Firebase project, or the name of the web app."""


def configured_senders(settings: Settings, store: Store) -> Senders:
    """Make one sender for each app with credentials. Raises ValueError or OSError if credentials cannot be loaded."""
    senders: Senders = {}
    for apple_app in settings.apns_apps:
        senders[Provider.APNS, apple_app.topic] = apns_sender(apple_app, settings, store)
    for google_app in settings.fcm_apps:
        senders[Provider.FCM, google_app.project_id] = fcm_sender(google_app, settings)
    for web_app in settings.web_push_apps:
        senders[Provider.WEB_PUSH, web_app.app] = web_push_sender(web_app, settings)
    return senders


def apns_sender(app: ApnsApp, settings: Settings, store: Store) -> ApnsSender:
    """Make the sender for one iOS app. All processes share its provider token through Redis."""
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


def fcm_sender(app: FcmApp, settings: Settings) -> FcmSender:
    """Make the sender for one Firebase project."""
    return FcmSender(
        app.service_account_file,
        settings.fcm_url,
        settings.fcm_ca_file,
        settings.fcm_proxy,
    )


def web_push_sender(app: WebPushApp, settings: Settings) -> WebPushSender:
    """Make the sender for one web app."""
    return WebPushSender(
        VapidHeaders(app.private_key.get_secret_value(), app.public_key, app.subject),
        settings.web_push_services,
        allowed_networks=settings.web_push_allowed_networks,
        ca_file=settings.web_push_ca_file,
        proxy=settings.web_push_proxy,
    )

"""Builds what collects and sends missed-call e-mails, by the settings."""

from bellhop.audience import Audience
from bellhop.domain.unsubscribe_link import UnsubscribeLinks
from bellhop.i18n.templates import Templates
from bellhop.i18n.texts import Texts
from bellhop.settings import Settings
from bellhop.store.async_client import Store
from bellhop.store.redis_clock import RedisClock
from worker.email.digest import EmailDigest
from worker.email.email_limits import EmailLimits
from worker.email.email_policy import EmailRules
from worker.email.email_store import EmailStore
from worker.email.message import MessageBuilder
from worker.providers.smtp import smtp_sender


def email_digest(
    settings: Settings,
    store: Store,
    worker: str,
    texts: Texts,
    clock: RedisClock | None = None,
    audience: Audience | None = None,
) -> EmailDigest | None:
    """Return what collects and sends missed-call e-mails; None if the settings want none.

    `audience`: the receivers of announcements; None if there are none.
    """
    if not settings.smtp_host or settings.mail_policy == "never":  # as Settings.sends_emails; this narrows the type
        return None
    builder = MessageBuilder(
        sender=settings.mail_from,
        app=settings.mail_from_name or settings.mail_from.rpartition("@")[2],
        texts=texts,
        templates=Templates(settings.templates_folder),
        links=UnsubscribeLinks(settings.public_url, settings.mail_secret),
        call_url=settings.mail_call_url,
    )
    emails = EmailStore(store, worker, settings.mail_window_s, clock, audience, in_turn=settings.has_several_tenants)
    limits = EmailLimits(store, builder.links.mailboxes, settings.mail_per_address_hour, settings.mail_per_caller_hour)
    rules = EmailRules(settings.mail_policy, settings.mail_stream_addresses)
    return EmailDigest(store, emails, smtp_sender(settings), builder, limits, rules)

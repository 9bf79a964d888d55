"""Puts the parts of e-mail together as the settings say."""

from bellhop.domain.unsubscribe_link import Links
from bellhop.i18n.templates import Templates
from bellhop.i18n.texts import Texts
from bellhop.settings import Settings
from bellhop.store.async_client import Store
from worker.email.digest import EmailDigest
from worker.email.message import MessageBuilder
from worker.providers.smtp import EmailSender, SmtpServer


def mail_of(settings: Settings, store: Store, worker: str, texts: Texts) -> EmailDigest | None:
    """Make what sends e-mails; None when there are to be none."""
    if not settings.smtp_host or settings.mail_policy == "never":
        return None
    stationery = MessageBuilder(
        sender=settings.mail_from,
        app=settings.mail_from_name or settings.mail_from.rpartition("@")[2],
        texts=texts,
        templates=Templates(settings.templates_folder),
        links=Links(settings.public_url, settings.mail_secret),
        call_url=settings.mail_call_url,
    )
    return EmailDigest(store, worker, sender_of(settings), stationery, settings.mail_policy, settings.mail_window_s)


def sender_of(settings: Settings) -> EmailSender:
    """Make the way to the mail server. Raises OSError for a CA file that cannot be loaded."""
    server = SmtpServer(
        host=settings.smtp_host,
        port=settings.smtp_port,
        security=settings.smtp_security,
        user=settings.smtp_user,
        password=settings.smtp_password.get_secret_value() if settings.smtp_password else "",
        timeout_s=settings.smtp_timeout_s,
        ca_file=settings.smtp_ca_file,
    )
    return EmailSender(server, settings.mail_from)

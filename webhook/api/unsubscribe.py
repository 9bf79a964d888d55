"""/unsubscribe/<token>: the link in each e-mail, which switches them off without a login (RFC 8058).

Only POST changes anything, because mail scanners follow links with GET. Mail programs post as RFC 8058 says; people
press the button on the page.
"""

import secrets
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self, cast

import structlog
from flask import Blueprint, Response, current_app, make_response, request

from bellhop.domain.unsubscribe_link import ADDRESS, PROOF, Subscriber, UnsubscribeLinks
from bellhop.domain.user import Contact, Preferences
from bellhop.i18n.templates import Templates
from bellhop.i18n.texts import Texts
from bellhop.settings import Settings
from bellhop.store import registry
from bellhop.store.blocking_client import together
from bellhop.store.keys import unsubscribed_key, user_key
from webhook.context import web_context

blueprint = Blueprint("unsubscribe", __name__)
log = structlog.get_logger()

MAX_FORM_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class UnsubscribePages:
    """The links, texts and templates of the pages. Made once for each web process."""

    links: UnsubscribeLinks
    texts: Texts
    templates: Templates

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Load the texts and templates that the settings name."""
        folder = settings.templates_folder
        links = UnsubscribeLinks(settings.public_url, settings.mail_secret)
        return cls(links, Texts(folder, settings.default_language), Templates(folder))


@blueprint.get("/unsubscribe/<token>")
def ask(token: str) -> Response:
    """Show the page with the button; change nothing."""
    subscriber = _pages().links.read(token)
    if subscriber is None:
        return _invalid()
    redis, address = web_context().redis, _address(token, subscriber)
    stored: Any = redis.hget(user_key(subscriber.tenant, subscriber.user_id), "preferences")
    wanted = registry.read_stored(Preferences, stored).email
    if address and redis.exists(unsubscribed_key(address)):
        wanted = False
    return _page("ask" if wanted else "off", subscriber.language)


@blueprint.post("/unsubscribe/<token>")
def switch(token: str) -> Response:
    """Switch e-mails off, or on again for the button that says so."""
    request.max_content_length = MAX_FORM_BYTES
    subscriber = _pages().links.read(token)
    if subscriber is None:
        return _invalid()
    on = request.form.get("emails") == "on"
    if address := _address(token, subscriber):
        _switch_address(address, on=on)
    web_context().run(registry.switch_mail(subscriber.tenant, subscriber.user_id, on=on))
    log.info("emails_switched", on=on, tenant=subscriber.tenant, one_click="List-Unsubscribe" in request.form)
    return _page("on" if on else "off", subscriber.language)


def _address(token: str, subscriber: Subscriber) -> str:
    """Return the hash of the address that the e-mail went to; empty if the link does not prove it."""
    links = _pages().links
    if ADDRESS not in request.args or PROOF in request.args:
        return links.address(token, request.args)
    stored: Any = web_context().redis.hget(user_key(subscriber.tenant, subscriber.user_id), "contact")
    email = registry.read_stored(Contact, stored).email
    return links.address(token, request.args, links.mailboxes.of(subscriber.tenant, email) if email else ())


def _switch_address(address: str, *, on: bool) -> None:
    """Unsubscribe an address for all users, until its owner takes that back on the same page. No event changes it."""
    key, redis = unsubscribed_key(address), web_context().redis
    if on:
        stored: Any = redis.get(key)
        others = map(unsubscribed_key, (stored or b"").decode().split())
        together(redis, *(("DEL", same_address) for same_address in {key, *others}))
    else:
        redis.set(key, 1, nx=True)


def _invalid() -> Response:
    return _page("invalid", request.accept_languages.best or "", HTTPStatus.NOT_FOUND)


def _page(state: str, language: str, status: int = HTTPStatus.OK) -> Response:
    pages, nonce = _pages(), secrets.token_urlsafe(16)
    words = pages.texts.wording(language)
    response = make_response(pages.templates.render("unsubscribe.html", state=state, words=words, nonce=nonce), status)
    # The page loads nothing from elsewhere. The link lets its holder act for the user, so no Referer may carry it.
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["X-Robots-Tag"] = "noindex"
    response.content_language.add(words["language"])
    return response


def _pages() -> UnsubscribePages:
    return cast(UnsubscribePages, current_app.extensions["unsubscribe"])

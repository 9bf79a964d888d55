"""Notes who looked at a person in the console, and who changed something: in the log, and in Redis for "Audit"."""

import structlog
from flask import request

from bellhop.console_audit import AuditAction, AuditEntry, keep
from bellhop.privacy.people import id_hash
from bellhop.store.blocking_client import together
from webhook.client_address import client_name
from webhook.console.blueprint import MAX_LOGGED_ID, current_login
from webhook.context import WebContext, web_context

log = structlog.get_logger()

MOST_LOGGED = 255
"""Characters of an id that an entry keeps. Anybody who is logged in can put any id into an address."""


def note(
    action: AuditAction, tenant: str = "", *, user: str = "", call: str = "", device: str = "", job: str = ""
) -> None:
    """Note an action of this login, before it is done. Without a tenant, it is about the whole installation.

    Raises redis.exceptions.RedisError: then the page is not shown, and nothing is changed.
    """
    context, login = web_context(), current_login()
    user = context.intake.forgotten.people.of(tenant)(user) or user  # it must not bring a forgotten person back
    call, device, job = call[:MAX_LOGGED_ID], device[:MAX_LOGGED_ID], job[:MAX_LOGGED_ID]
    about = {"user": user[:MOST_LOGGED], "call": call, "device": device, "job": job}
    entry = AuditEntry(context.now(), login.name, login.way, action, **about)
    together(context.redis, *keep(tenant, entry))
    person = person_in_log(context, tenant, user) if user else ""
    shown = {"tenant": tenant, "person": person, "call": call, "device": device, "job": job}
    given = {name: value for name, value in shown.items() if value}
    log.info(
        "console_audit", action=action, by=login.name, way=login.way, address=client_name(request.remote_addr), **given
    )


def person_in_log(context: WebContext, tenant: str, user_id: str) -> str:
    """Return what log lines have in the place of a user's id: a hash, keyed with the app's first API secret."""
    secrets = next((app.api_secrets for app in context.settings.stream_apps if app.tenant == tenant), None)
    return id_hash(secrets[0].get_secret_value().encode(), tenant, user_id) if secrets else ""

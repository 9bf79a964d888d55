"""/console/person: a user's phones, preferences and latest calls. Push tokens and addresses are not shown."""

from typing import Any, cast

from flask import render_template, request

from bellhop.domain.user import Contact, Preferences
from bellhop.store import registry
from bellhop.store.keys import devices_key, user_key
from webhook.console.blueprint import blueprint, summaries, tenant
from webhook.console.call_search import search_calls
from webhook.context import web_context


@blueprint.get("/person")
def user() -> str:
    """Show a user."""
    user_id, redis = request.args.get("id", ""), web_context().redis
    devices: Any = redis.hvals(devices_key(tenant(), user_id))
    contact, preferences = cast(Any, redis.hmget(user_key(tenant(), user_id), "contact", "preferences"))
    return render_template(
        "console/user.html",
        user=user_id,
        devices=registry.decode(devices),
        contact=registry.read_stored(Contact, contact),
        preferences=registry.read_stored(Preferences, preferences),
        page=search_calls(redis, tenant(), user_id=user_id, summaries=summaries()),
    )

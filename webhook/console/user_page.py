"""/console/person: a user's phones, preferences and latest calls. Push tokens and addresses are not shown."""

from flask import render_template, request

from bellhop.reachability import judge
from bellhop.reachability_facts import read_reachability_facts
from webhook.console.blueprint import blueprint, summaries, tenant
from webhook.console.call_search import search_calls
from webhook.context import web_context


@blueprint.get("/person")
def user() -> str:
    """Show a user."""
    user_id, context = request.args.get("id", ""), web_context()
    facts = read_reachability_facts(context.redis, context.settings, tenant(), user_id)
    return render_template(
        "console/user.html",
        user=user_id,
        reachability=judge(facts),
        devices=facts.devices,
        contact=facts.user.contact,
        preferences=facts.user.preferences,
        page=search_calls(context.redis, tenant(), user_id=user_id, summaries=summaries()),
    )

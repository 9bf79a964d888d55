"""/console/call: the explanation of one call."""

from http import HTTPStatus

from flask import render_template, request

from bellhop.explain.explanation import RoundExplanation
from bellhop.explain.summary import late
from webhook.console.blueprint import blueprint, tenant
from webhook.console.call_search import explain_call
from webhook.console.picture import picture
from webhook.context import web_context

MOST_USERS = 100
MOST_STEPS = 400
"""Users, and steps of a round's timeline, on one page."""


@blueprint.get("/call")
def call() -> tuple[str, int]:
    """Explain one call, for all its users or for one."""
    cid, user_id = request.args.get("id", ""), request.args.get("user", "")
    explanation = explain_call(web_context().redis, tenant(), cid, user_id)
    page = render_template(
        "console/call.html",
        explanation=explanation,
        rounds=[(round_, picture(round_), _late_users(round_)) for round_ in explanation.rounds],
        user=user_id,
        most_users=MOST_USERS,
        most_steps=MOST_STEPS,
    )
    return page, HTTPStatus.OK if explanation.found else HTTPStatus.NOT_FOUND


def _late_users(round_: RoundExplanation) -> set[str]:
    return {user.user for user in round_.people if late(round_, user)}

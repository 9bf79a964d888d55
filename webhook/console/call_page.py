"""/console/call: the explanation of one call."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus

import structlog
from flask import render_template, request

from bellhop.console_audit import AuditAction
from bellhop.explain.explanation import RoundExplanation
from bellhop.explain.repeats import joined
from bellhop.explain.summary import PersonResult, person_results, summarize
from bellhop.question_on_demand import ask_on_demand, in_a_sentence, may_ask
from webhook.console.audit import note
from webhook.console.blueprint import MAX_LOGGED_ID, blueprint, tenant
from webhook.console.call_search import explain_call
from webhook.console.picture import Picture, picture
from webhook.context import web_context

log = structlog.get_logger()

MAX_USERS = 100
MAX_STEPS = 400
"""Users, and steps of a round's timeline, on one page."""


@blueprint.get("/call")
def call() -> tuple[str, int]:
    """Explain one call, for all its users or for one."""
    note(AuditAction.CALL, tenant(), call=request.args.get("id", ""), user=request.args.get("user", ""))
    return _page()


@blueprint.post("/call")
def ask_about_call() -> tuple[str, int]:
    """Ask Stream about the call, then explain it."""
    cid = request.args.get("id", "")
    note(AuditAction.ASK_STREAM, tenant(), call=cid)
    try:
        asked = asyncio.run(ask_on_demand(web_context().settings, tenant(), cid))
    except TimeoutError:
        return _page("Stream was not asked: Redis does not answer in time.")
    log.info("console_asked", cid=cid[:MAX_LOGGED_ID], outcome=asked.outcome if asked else "")
    return _page(in_a_sentence(cid, asked) or "Stream was asked a moment ago.")


def _page(said: str = "") -> tuple[str, int]:
    """Show the page. `said` is a sentence about the question to Stream, if there was one."""
    cid, user_id = request.args.get("id", ""), request.args.get("user", "")
    explanation, left_out = explain_call(web_context().redis, tenant(), cid, user_id)
    page = render_template(
        "console/call.html",
        explanation=explanation,
        call=summarize(explanation, left_out) if explanation.found and not user_id else None,
        rounds=[_with_picture(round_) for round_ in explanation.rounds],
        left_out=left_out,
        user=user_id,
        said=said,
        may_ask=may_ask(web_context().settings, tenant()),
        most_users=MAX_USERS,
        most_steps=MAX_STEPS,
        joined=joined,
    )
    return page, HTTPStatus.OK if explanation.found else HTTPStatus.NOT_FOUND


def _with_picture(round_: RoundExplanation) -> tuple[RoundExplanation, Picture | None, Sequence[PersonResult]]:
    """Return a round, its picture, and the result for each person. People with trouble come first in both."""
    results = person_results(round_)
    return round_, picture(replace(round_, people=tuple(result.verdict for result in results))), results

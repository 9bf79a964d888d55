"""/console/: the latest calls, with search and filters."""

from datetime import UTC, datetime, tzinfo
from typing import cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flask import Response, redirect, render_template, request, url_for

from bellhop.call_index import FROM_LATEST, is_known_user
from bellhop.clock import Micros
from bellhop.console_audit import AuditAction
from bellhop.explain.summary import Flag
from bellhop.store.keys import told_key, trail_key
from bellhop.telemetry.turned_away import describe, read_last_hour
from webhook.console.audit import note
from webhook.console.blueprint import blueprint, current_login, summaries, tenant
from webhook.console.call_search import search_calls
from webhook.console.login import is_opened_by_a_person
from webhook.console.search_words import read_search
from webhook.context import web_context

MAX_TIME_DIGITS = 17


@blueprint.get("")
def root() -> Response:
    """Lead to the list of calls, on the host that the browser uses."""
    query = request.query_string.decode("latin-1")
    return cast(Response, redirect(url_for("console.calls") + (f"?{query}" if query else ""), 308))


@blueprint.get("/")
def calls() -> Response | str:
    """Show a page of calls, or the call itself if the search is for its whole id."""
    redis, text = web_context().redis, request.args.get("q", "").strip()
    if text and is_opened_by_a_person():
        note(AuditAction.SEARCH, tenant())
    if text and redis.exists(trail_key(tenant(), text), told_key(tenant(), text)):
        return cast(Response, redirect(url_for("console.call", id=text, tenant=request.args.get("tenant"))))
    flag = next((flag for flag in Flag if flag == request.args.get("show")), None)
    before, zone = _time(request.args.get("before", "")), request.args.get("zone", "")
    search = read_search(text, datetime.now(_zone(zone)))
    page = search_calls(
        redis,
        tenant(),
        text=search.text,
        flag=flag,
        before=min(filter(None, (before, search.until)), default=FROM_LATEST),
        since=search.since,
        summaries=summaries(),
    )
    return render_template(
        "console/calls.html",
        page=page,
        turned_away=describe(read_last_hour(redis)) if current_login().sees_all and not page.calls else [],
        q=text,
        zone=zone,
        search=search,
        flag=flag,
        flags=list(Flag),
        before=before,
        trail_days=web_context().settings.trail_days,
        is_user=bool(search.text) and is_known_user(redis, tenant(), search.text),
    )


def _zone(name: str) -> tzinfo:
    """Return the reader's time zone, which the page's script adds to the form; UTC if it is unknown."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        return UTC


def _time(text: str) -> Micros:
    is_number = text.isascii() and text.isdigit() and len(text) <= MAX_TIME_DIGITS
    return Micros(int(text)) if is_number else FROM_LATEST

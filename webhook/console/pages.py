"""The console's pages."""

import re
import time
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast

import structlog
from flask import Blueprint, Flask, Response, current_app, g, make_response, redirect, render_template, request, url_for
from markupsafe import Markup, escape
from redis.exceptions import RedisError
from werkzeug.exceptions import HTTPException, abort

from bellhop.domain.user import Contact, Preferences
from bellhop.explain.sentences import PROVIDERS
from bellhop.explain.summary import Flag, late
from bellhop.queue import failed_jobs
from bellhop.queue.worker_status import read_state
from bellhop.store import registry
from bellhop.store.keys import WORKER_FAILED, devices_key, trail_key, user_key
from webhook.api.health import lacking
from webhook.console import calls_page, time_format
from webhook.console.login import ConsoleSessions, Guard, form_is_ours, form_token
from webhook.console.picture import picture
from webhook.context import WebContext

log = structlog.get_logger()

FOLDER = Path(__file__).parent
MOST_PEOPLE, MOST_MOMENTS, MOST_FAILED = 100, 400, 100
"""Shown on one page."""
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Robots-Tag": "noindex",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

blueprint = Blueprint("console", __name__, url_prefix="/console", template_folder="templates", static_folder="static")


def register(app: Flask, context: WebContext) -> None:
    """Add the console to the application."""
    guard = Guard(context.settings, context.redis)
    app.extensions["console"] = guard
    app.secret_key = guard.signing_key
    app.session_interface = ConsoleSessions()
    app.register_blueprint(blueprint)


@blueprint.before_request
def check() -> Response | None:
    """Let nobody in who is not logged in, and take no form that is not ours."""
    if request.endpoint == "console.static":
        return None
    if request.method == "POST" and not form_is_ours(request.form):
        abort(403, "That form was too old, or not from here. Go back, load the page again, and try once more.")
    g.proxy_user = _guard().proxy_user(request)
    if request.endpoint == "console.login" or g.proxy_user or _guard().logged_in():
        return None
    if not _guard().has_password:
        abort(403, "Bellhop's console is behind a proxy that logs people in, and you did not come through it.")
    return cast(Response, redirect(url_for("console.login", next=request.full_path.rstrip("?"))))


@blueprint.after_request
def secure(response: Response) -> Response:
    """Load nothing from elsewhere, and be shown inside nothing; webhook/security_headers.py does the rest."""
    response.headers.update(HEADERS)
    return response


@blueprint.context_processor
def values() -> dict[str, Any]:
    """What every template may use."""
    now = time.time_ns() // 1000
    return {
        "now": now,
        "iso": time_format.iso,
        "clock": lambda at: time_format.clock(at, now),
        "ago": lambda at: time_format.ago(at, now),
        "after": time_format.after,
        "coded": coded,
        "version": _assets_version(),
        "form_token": form_token,
        "proxy_user": g.get("proxy_user", ""),
        "logged_in": bool(g.get("proxy_user")) or (request.endpoint not in (None, "console.login")),
        "tenants": _tenants(),
        "tenant": request.args.get("tenant", _tenants()[0]),
        "providers": PROVIDERS,
    }


def coded(text: str) -> Markup:
    """Show what stands in backticks, as advice has its commands, as code."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped before


@blueprint.errorhandler(RedisError)
def redis_away(error: RedisError) -> tuple[str, int]:
    """Say it in the page."""
    _context().outage.goes_on(type(error).__name__)
    text = "Redis does not answer, and everything that is shown here comes from it. Try again in a moment."
    return render_template("console/message.html", heading="Not now", text=text), 503


@blueprint.errorhandler(HTTPException)
def http_error(error: HTTPException) -> tuple[str, int] | HTTPException:
    """Say it in the page; a redirection passes."""
    if error.code is None or error.code < 400:
        return error
    return render_template("console/message.html", heading=error.name, text=error.description or ""), error.code


@blueprint.route("/login", methods=["GET", "POST"])
def login() -> Response | tuple[str, int]:
    """Ask for the password."""
    target = request.values.get("next", "")
    # A header's value, so no line breaks; "\\" is "/" to browsers.
    target = target if re.fullmatch(r"/console/(?!login)[^\\\x00-\x1f]*", target) else url_for("console.calls")
    if g.proxy_user or (request.method == "GET" and _guard().logged_in()):
        return cast(Response, redirect(target, HTTPStatus.SEE_OTHER))
    wait_s, status = None, HTTPStatus.OK
    if request.method == "POST":
        wait_s = _guard().log_in(request.form.get("password", ""), request)
        if wait_s is None:
            return cast(Response, redirect(target, HTTPStatus.SEE_OTHER))
        status = HTTPStatus.TOO_MANY_REQUESTS if wait_s else HTTPStatus.UNAUTHORIZED
    # A link from another site comes without the cookie (SameSite=Strict); a second look comes from here, and has it.
    look_again = request.method == "GET" and request.headers.get("Sec-Fetch-Site") == "cross-site"
    page = render_template("console/login.html", target=target, wait_s=wait_s, look_again=look_again)
    response = make_response(page, status)
    if wait_s:
        response.headers["Retry-After"] = str(wait_s)
    return response


@blueprint.post("/logout")
def logout() -> Response:
    """Log out."""
    _guard().log_out()
    return cast(Response, redirect(url_for("console.login"), HTTPStatus.SEE_OTHER))


@blueprint.get("/")
def calls() -> Response | str:
    """List the latest calls; search and filter them."""
    text = request.args.get("q", "").strip()
    if text and _context().redis.exists(trail_key(_tenant(), text)):
        return cast(Response, redirect(url_for("console.call", id=text, tenant=request.args.get("tenant"))))
    flag = next((flag for flag in Flag if flag == request.args.get("show")), None)
    before = _number(request.args.get("before", ""))
    page = calls_page.page(_context().redis, _tenant(), text=text, flag=flag, before=before)
    known = bool(text) and calls_page.is_person(_context().redis, _tenant(), text)
    return render_template(
        "console/calls.html", page=page, q=text, flag=flag, flags=list(Flag), before=before, person=known
    )


@blueprint.get("/call")
def call() -> tuple[str, int]:
    """Tell the story of one call, or what it came to for one person."""
    cid, user = request.args.get("id", ""), request.args.get("user", "")
    found = calls_page.story(_context().redis, _tenant(), cid, user)
    late_people = [{one.user for one in round_.people if late(round_, one)} for round_ in found.rounds]
    page = render_template(
        "console/call.html",
        found=found,
        rounds=list(zip(found.rounds, map(picture, found.rounds), late_people, strict=True)),
        user=user,
        most_people=MOST_PEOPLE,
        most_moments=MOST_MOMENTS,
    )
    return page, HTTPStatus.OK if found.found else HTTPStatus.NOT_FOUND


@blueprint.get("/person")
def person() -> str:
    """Show a person's phones, preferences and latest calls. Push tokens and addresses are not shown."""
    user, redis = request.args.get("id", ""), _context().redis
    stored: Any = redis.hvals(devices_key(_tenant(), user))
    contact, preferences = cast(Any, redis.hmget(user_key(_tenant(), user), "contact", "preferences"))
    return render_template(
        "console/person.html",
        user=user,
        devices=registry.decode(stored),
        contact=registry.known(Contact, contact),
        preferences=registry.known(Preferences, preferences),
        page=calls_page.page(redis, _tenant(), person=user),
    )


@blueprint.get("/service")
def service() -> str:
    """Show queues, workers and providers."""
    redis = _context().redis
    state = read_state(redis)
    failure: Any = redis.get(WORKER_FAILED)
    ways: dict[tuple[str, str], list[Any]] = {}
    expiry: dict[str, float] = {}
    for status in state.statuses.values():
        for lane in status["lanes"]:
            ways.setdefault((lane["provider"], lane["app"]), []).append(lane)
        expiry |= status["certificates"]
    problems = list(lacking(state, failure.decode() if failure else ""))
    return render_template(
        "console/service.html", state=state, ways=sorted(ways.items()), expiry=expiry, problems=problems
    )


@blueprint.route("/failed", methods=["GET", "POST"])
def failed() -> Response | str:
    """List what ended in failure; run one of it again."""
    redis = _context().redis
    if request.method == "POST":
        job = request.form.get("job", "")
        reason = failed_jobs.run_again(redis, job)
        log.info("console_replay", job=job[:64], refused=reason or "")
        jobs = failed_jobs.failed(redis, MOST_FAILED)
        return render_template("console/failed.html", jobs=jobs, job=job, reason=reason)
    return render_template("console/failed.html", jobs=failed_jobs.failed(redis, MOST_FAILED), job="", reason=None)


@blueprint.get("/<path:nowhere>")
def nothing(nowhere: str) -> Response:
    """Say that there is nothing at any other address, in a page."""
    abort(404, "There is no such page in the console.")


def _context() -> WebContext:
    return cast(WebContext, current_app.extensions["context"])


def _guard() -> Guard:
    return cast(Guard, current_app.extensions["console"])


def _tenants() -> list[str]:
    return [app.tenant for app in _context().settings.stream_apps] or ["default"]


def _tenant() -> str:
    tenant = request.args.get("tenant", _tenants()[0])
    if tenant not in _tenants():
        abort(404, f"There is no Stream app {tenant} in Bellhop's settings.")
    return tenant


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 18 else 0


@cache
def _assets_version() -> str:
    """A word that changes with the style sheet and the script, so that browsers may keep them."""
    newest = max(path.stat().st_mtime_ns for path in (FOLDER / "static").iterdir())
    return f"{newest:x}"

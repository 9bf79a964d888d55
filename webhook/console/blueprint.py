"""The console's blueprint: who may open a page, the headers of every page, and its errors as pages."""

from typing import NoReturn, cast

from flask import Blueprint, Response, current_app, g, redirect, render_template, request, url_for
from redis.exceptions import RedisError
from werkzeug.exceptions import HTTPException, abort

from webhook.api.health import redis_failure
from webhook.console.canonical_path import is_sent_in_other_form
from webhook.console.login import Guard
from webhook.console.rights import Login
from webhook.console.session_cookie import is_valid_form
from webhook.console.summary_cache import SummaryCache
from webhook.context import web_context
from webhook.refused_requests import note_refusal

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Robots-Tag": "noindex",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Pages load nothing from other sites and cannot be framed; webhook/security_headers.py adds the rest."""

MAX_FORM_BYTES = 16_384
"""The longest form. Reading 500 KB of form fields takes 160 ms, and anybody can post to the login page."""
MAX_LOGGED_ID = 64
"""Characters of an id from a form or an address that a log line shows."""

FOR_EVERYBODY = ("console.login", "console.logout")
"""Every login may send these forms. All other forms are for operators of the Stream app that the request names."""
FOR_THE_INSTALLATION = ("console.run_check", "console.logout_all")
"""These forms concern all Stream apps."""
OF_SEVERAL_APPS = ("console.run_again",)
"""These forms name no Stream app: their views check each thing that they change."""

blueprint = Blueprint("console", __name__, url_prefix="/console", template_folder="templates", static_folder="static")


def guard() -> Guard:
    """Return the console's guard."""
    return cast(Guard, current_app.extensions["console"])


def summaries() -> SummaryCache:
    """Return the summaries that this process has made."""
    return cast(SummaryCache, current_app.extensions["console_summaries"])


def known_login() -> Login | None:
    """Return who uses the console in this request; None if nobody is logged in."""
    return cast(Login | None, g.get("login"))


def current_login() -> Login:
    """Return who uses the console in this request. Only after `check_access` has let the request in."""
    return cast(Login, g.login)


def tenants() -> list[str]:
    """Return the names of the Stream apps that this login may see; none before it is known."""
    login = known_login()
    return login.tenants if login else []


def tenant() -> str:
    """Return the Stream app that the request names, or the first one. Answers 404 if this login may not see it."""
    name = request.args.get("tenant", tenants()[0])
    if name not in tenants():
        abort(404, f"Bellhop's settings have no Stream app {name}, or you may not see it.")
    return name


@blueprint.before_request
def check_access() -> Response | None:
    """Send everybody who is not logged in to the login page, and refuse forms that did not come from the console."""
    if is_sent_in_other_form(request.environ):
        _refuse(404, "other_path", "The console has no such page.")
    if request.endpoint in ("console.static", "console.root"):
        return None
    request.max_content_length = MAX_FORM_BYTES
    if request.method == "POST" and not is_valid_form(request.form):
        _refuse(
            403, "bad_form", "The form is too old or came from another site. Go back, reload the page, and try again."
        )
    by_proxy = guard().proxy_login(request)
    g.login = by_proxy if by_proxy and by_proxy.roles else guard().password_login()
    if g.login is not None:
        _check_right(g.login)
        return None
    if request.endpoint == "console.login":
        return None
    if not guard().has_password and by_proxy:
        _refuse(403, "no_role", "None of your groups may use Bellhop's console. Ask its operators for a right.")
    if not guard().has_password:
        _refuse(403, "no_proxy_user", "Bellhop's console accepts only requests through the proxy that logs people in.")
    return cast(Response, redirect(url_for("console.login", next=request.script_root + request.full_path.rstrip("?"))))


def _check_right(login: Login) -> None:
    """Refuse a form that this login may not send."""
    if request.method != "POST" or request.endpoint in FOR_EVERYBODY:
        return
    if request.endpoint in FOR_THE_INSTALLATION:
        is_allowed = login.operates_all
    elif request.endpoint in OF_SEVERAL_APPS:
        is_allowed = login.operates_some
    else:
        is_allowed = login.operates(tenant())
    if not is_allowed:
        _refuse(403, "not_operator", "Your login may look at this, but not change it. Ask an operator to do it.")


def _refuse(status: int, reason: str, sentence: str) -> NoReturn:
    note_refusal("console", reason)
    abort(status, sentence)


@blueprint.after_request
def add_headers(response: Response) -> Response:
    """Add the console's headers."""
    response.headers.update(HEADERS)
    return response


@blueprint.errorhandler(RedisError)
def redis_error(error: RedisError) -> tuple[str, int]:
    """Answer with a page while Redis is away."""
    web_context().outage.note_redis_error(error)
    g.failed_count = 0  # so that the top bar does not read it from Redis
    text = f"{redis_failure(error)} The console needs Redis to log you in, and to show anything."
    return render_template("console/message.html", heading="Not available", text=text), 503


@blueprint.errorhandler(HTTPException)
def http_error(error: HTTPException) -> tuple[str, int] | HTTPException:
    """Answer an HTTP error with a page. Redirections pass unchanged."""
    if error.code is None or error.code < 400:
        return error
    return render_template("console/message.html", heading=error.name, text=error.description or ""), error.code


@blueprint.get("/<path:unknown>")
def not_found(unknown: str) -> Response:
    """Answer any other address with a page."""
    abort(404, "The console has no such page.")

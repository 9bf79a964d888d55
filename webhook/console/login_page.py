"""/console/login and /console/logout."""

import re
from http import HTTPStatus
from typing import cast

from flask import Response, make_response, redirect, render_template, request, url_for

from bellhop.console_audit import AuditAction
from webhook.console.audit import note
from webhook.console.blueprint import blueprint, guard, known_login
from webhook.console.rights import LoginWay
from webhook.context import web_context


@blueprint.route("/login", methods=["GET", "POST"])
def login() -> Response:
    """Ask for the password, and log in."""
    target = _target()
    known = known_login()
    if known and (known.way is LoginWay.PROXY or request.method == "GET"):
        return _redirect(target)
    if request.method != "POST":  # HEAD is not an attempt to log in
        return make_response(_page(target))
    wait_s = guard().log_in(request.form.get("password", ""), request)
    if wait_s is None:
        return _redirect(target)
    response = make_response(_page(target, wait_s=wait_s), HTTPStatus.UNAUTHORIZED)
    if wait_s:
        response.status_code = HTTPStatus.TOO_MANY_REQUESTS
        response.headers["Retry-After"] = str(wait_s)
    return response


@blueprint.post("/logout")
def logout() -> Response:
    """Log out."""
    guard().log_out()
    return _logged_out()


@blueprint.post("/logout-all")
def logout_all() -> Response:
    """End every login."""
    guard().log_all_out()
    note(AuditAction.LOGOUT_ALL)
    return _logged_out()


def _logged_out() -> Response:
    response = _redirect(url_for("console.login"))
    # Not "cookies" or "storage": they may belong to other applications of the same site.
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


def _target() -> str:
    """Return the page to open after the login, if it is one of the console; else the list of calls."""
    target = request.values.get("next", "")
    # It becomes a header, so line breaks are refused; backslashes too, since browsers read "\\" as "/".
    is_ours = re.fullmatch(re.escape(request.script_root) + r"/console/(?!login)[^\\\x00-\x1f]*", target)
    return target if is_ours else url_for("console.calls")


def _page(target: str, wait_s: int | None = None) -> str:
    # After a link on another site, the browser sends no cookie (SameSite=Strict). A reload comes from here and has it.
    reload = request.method == "GET" and request.headers.get("Sec-Fetch-Site") == "cross-site"
    one_password = not web_context().settings.console_logins
    return render_template("console/login.html", target=target, wait_s=wait_s, reload=reload, one_password=one_password)


def _redirect(target: str) -> Response:
    return cast(Response, redirect(target, HTTPStatus.SEE_OTHER))

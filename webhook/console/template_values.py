"""Values and functions that every template of the console may use."""

import re
import time
from functools import cache
from pathlib import Path
from typing import Any, cast

from flask import g, request
from markupsafe import Markup, escape
from redis.exceptions import RedisError

from bellhop.clock import from_nanoseconds
from bellhop.explain.sentences import PROVIDERS
from bellhop.queue import failed_jobs
from webhook.console import time_format
from webhook.console.blueprint import blueprint, known_login, tenants
from webhook.console.session_cookie import form_token
from webhook.context import web_context

STATIC_FOLDER = Path(__file__).parent / "static"


@blueprint.context_processor
def template_values() -> dict[str, Any]:
    """Return the values by name."""
    now, login = from_nanoseconds(time.time_ns()), known_login()
    name = request.args.get("tenant", next(iter(tenants()), ""))
    return {
        "now": now,
        "iso": time_format.iso,
        "clock": lambda at: time_format.clock(at, now),
        "ago": lambda at: time_format.ago(at, now),
        "after": time_format.after,
        "with_code": with_code,
        "version": assets_version(),
        "form_token": form_token,
        "login": login,
        "logged_in": login is not None or request.endpoint not in (None, "console.login"),
        "tenants": tenants(),
        "tenant": name,
        "may_change": login is not None and login.operates(name),
        "providers": PROVIDERS,
        "failed_count": _failed_count,
    }


def _failed_count() -> int:
    """Return the number of failed jobs, read once for a page; 0 while Redis does not answer.

    The number is about all Stream apps. So a login that may not see all of them gets 0.
    """
    login = known_login()
    if login is None or not login.sees_all:
        return 0
    if "failed_count" not in g:
        try:
            g.failed_count = failed_jobs.count(web_context().redis)
        except RedisError:
            g.failed_count = 0
    return cast(int, g.failed_count)


def with_code(text: str) -> Markup:
    """Escape a text and mark up what is in backticks as code: advice writes commands so."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped before


@cache
def assets_version() -> str:
    """Return a word that changes with the style sheet and the script, so that browsers may cache them."""
    newest_ns = max(path.stat().st_mtime_ns for path in STATIC_FOLDER.iterdir())
    return f"{newest_ns:x}"

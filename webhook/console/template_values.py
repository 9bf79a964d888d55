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
from webhook.console.blueprint import blueprint, tenants
from webhook.console.login import form_token
from webhook.context import web_context

STATIC_FOLDER = Path(__file__).parent / "static"


@blueprint.context_processor
def template_values() -> dict[str, Any]:
    """Return the values by name."""
    now = from_nanoseconds(time.time_ns())
    return {
        "now": now,
        "iso": time_format.iso,
        "clock": lambda at: time_format.clock(at, now),
        "ago": lambda at: time_format.ago(at, now),
        "after": time_format.after,
        "with_code": with_code,
        "version": assets_version(),
        "form_token": form_token,
        "proxy_user": g.get("proxy_user", ""),
        "logged_in": bool(g.get("proxy_user")) or (request.endpoint not in (None, "console.login")),
        "tenants": tenants(),
        "tenant": request.args.get("tenant", tenants()[0]),
        "providers": PROVIDERS,
        "failed_count": _failed_count,
    }


def _failed_count() -> int:
    """Return the number of failed jobs, read once for a page; 0 while Redis does not answer."""
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

"""The one form of the console's paths. Pure.

A proxy that protects /console compares the path as the client sent it. If another form of the path led to the console
too (//console/, /%63onsole/), a request could pass the proxy without its check, and with a user header of the client.
"""

import posixpath
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

CANONICAL = re.compile(r"/console(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*/?")
"""The paths of the console's pages: no empty segment, no dot segment, nothing percent-encoded."""
DECODED_TWICE = 2
"""A proxy may decode a path once before Bellhop does."""


def is_sent_in_other_form(environ: Mapping[str, Any]) -> bool:
    """Return whether the path of a request, as it was sent, leads to the console in another form than the canonical.

    Bellhop may be mounted below a prefix of another application, which is left out, and must be sent as it is.
    """
    path, prefix = sent_path(environ), _mounted_at(environ)
    return not path.startswith(prefix) or is_other_form(path.removeprefix(prefix))


def sent_path(environ: Mapping[str, Any]) -> str:
    """Return the path as the client or the proxy sent it. gunicorn calls it RAW_URI.

    A server that passes neither has decoded the path. Then only the decoded form can be checked.
    """
    target: str = environ.get("REQUEST_URI") or environ.get("RAW_URI") or _mounted_at(environ) + environ["PATH_INFO"]
    return target.partition("?")[0]


def _mounted_at(environ: Mapping[str, Any]) -> str:
    """Return the prefix without what the header X-Forwarded-Prefix adds: the proxy has removed that from the path."""
    before_proxy_fix = environ.get("werkzeug.proxy_fix.orig") or environ
    return before_proxy_fix.get("SCRIPT_NAME") or ""


def is_other_form(path: str) -> bool:
    """Return whether a path as it was sent leads to the console in another form than the canonical one."""
    return not CANONICAL.fullmatch(path) and (_is_below_console(path) or _is_below_console(_simplified(path)))


def _is_below_console(path: str) -> bool:
    return re.match(r"/console(?![a-z0-9_.-])", path.lower()) is not None


def _simplified(path: str) -> str:
    for _ in range(DECODED_TWICE):
        path = unquote(path)
    return re.sub("/+", "/", posixpath.normpath(path.replace("\\", "/")))

"""/console/audit: who looked at whom in the console, and who changed what. For operators of the Stream app."""

from http import HTTPStatus

from flask import abort, render_template, request

from bellhop.console_audit import KEPT_DAYS, MOST_KEPT, AuditAction, read_audit
from webhook.console.audit import note, person_in_log
from webhook.console.blueprint import blueprint, current_login, tenant
from webhook.context import web_context

MOST_SHOWN = 200


@blueprint.get("/audit")
def audit() -> str:
    """Show the latest entries, or those about one person."""
    context, app, user_id = web_context(), tenant(), request.args.get("user", "")
    if not current_login().operates(app):
        abort(HTTPStatus.FORBIDDEN, "Only operators may read the audit. Ask one of them.")
    if user_id:
        note(AuditAction.AUDIT, app, user=user_id)
    return render_template(
        "console/audit.html",
        entries=read_audit(context.redis, app, MOST_SHOWN, user_id),
        of_all_apps=[] if user_id or not current_login().operates_all else read_audit(context.redis, "", MOST_SHOWN),
        user=user_id,
        person=person_in_log(context, app, user_id) if user_id else "",
        most_kept=MOST_KEPT,
        kept_days=KEPT_DAYS,
    )

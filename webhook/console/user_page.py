"""/console/person: a user's phones, preferences and latest calls. Push tokens and addresses are not shown.

Operators can disable a phone here, enable it again, and ring the user's phones as a test.
"""

from http import HTTPStatus
from typing import Any, cast

from flask import Response, abort, redirect, render_template, request, url_for

from bellhop.console_audit import AuditAction
from bellhop.domain import round_of_test
from bellhop.domain.device import Device
from bellhop.reachability import judge
from bellhop.reachability_facts import read_reachability_facts
from bellhop.store import registry
from bellhop.store.disabled_phones import of_same_phone, switch_phones
from bellhop.store.keys import devices_key
from webhook.api.operation import ApiRequest
from webhook.api.user_test_rings import begin_test_ring
from webhook.api_errors import ApiError
from webhook.console.audit import note
from webhook.console.blueprint import blueprint, summaries, tenant, tenants
from webhook.console.call_search import search_calls
from webhook.context import web_context


@blueprint.get("/person")
def user() -> str:
    """Show a user; without an id, the form that asks for it."""
    user_id, caller = request.args.get("id", "").strip(), request.args.get("caller", "").strip()
    if not user_id:
        return render_template("console/users.html")
    note(AuditAction.PERSON, tenant(), user=user_id)
    context = web_context()
    facts = read_reachability_facts(context.redis, context.settings, tenant(), user_id)
    return render_template(
        "console/user.html",
        user=user_id,
        called_by=caller,
        reachability=judge(facts, caller=caller),
        devices=facts.devices,
        disabled_since=lambda device: facts.user.disabled_since(device.phone_names),
        contact=facts.user.contact,
        preferences=facts.user.preferences,
        page=search_calls(context.redis, tenant(), user_id=user_id, summaries=summaries()),
    )


@blueprint.post("/person/phone")
def switch_phone() -> Response:
    """Disable a phone, or enable it: with all of its devices."""
    context, user_id, devices = web_context(), *_user_with_devices()
    device = next((device for device in devices if device.key == request.form.get("device")), None)
    if device is None:
        abort(HTTPStatus.NOT_FOUND, f"{user_id} has no such device any more. Reload the user's page.")
    enable = request.form.get("switch") == "enable"
    note(AuditAction.ENABLE if enable else AuditAction.DISABLE, tenant(), user=user_id, device=device.key)
    phone = of_same_phone(device, devices)
    context.run(switch_phones(tenant(), user_id, phone, disabled_at=None if enable else context.now()))
    return _to("user", user_id)


@blueprint.post("/person/test-ring")
def ring_as_test() -> Response:
    """Ring the user's phones as a test, and show the ring."""
    user_id, _ = _user_with_devices()
    note(AuditAction.TEST_RING, tenant(), user=user_id)
    try:
        round_ = begin_test_ring(ApiRequest(web_context(), tenant(), user_id), round_of_test.new_id(), "console")
    except ApiError:
        abort(HTTPStatus.TOO_MANY_REQUESTS, "There were too many test rings of this user. Try again in a minute.")
    return _to("call", round_.cid)


def _user_with_devices() -> tuple[str, list[Device]]:
    """Return the user whom the form names, and the user's devices. Answers 404 if there are none."""
    user_id = request.args.get("id", "")
    stored: Any = web_context().redis.hvals(devices_key(tenant(), user_id))
    devices = registry.decode(stored)
    return (user_id, devices) if devices else abort(HTTPStatus.NOT_FOUND, f"{user_id} has no devices.")


def _to(page: str, id_: str) -> Response:
    app = tenant() if len(tenants()) > 1 else None
    return cast(Response, redirect(url_for(f"console.{page}", id=id_, tenant=app), HTTPStatus.SEE_OTHER))

"""The checks that Google makes on a message, and the form of its errors. Pure."""

import json
import re
from typing import Any

TYPE = "type.googleapis.com/google."
MESSAGE_KEYS = {
    *("name", "data", "notification", "android", "webpush", "apns", "fcm_options", "token", "topic", "condition"),
}
ANDROID_KEYS = {
    *("collapse_key", "priority", "ttl", "restricted_package_name", "data", "notification", "fcm_options"),
    *("direct_boot_ok", "bandwidth_constrained_ok", "restricted_satellite_ok"),
}
PRIORITIES = {None, "NORMAL", "HIGH", "normal", "high"}
MAX_TTL_S = 2_419_200
MAX_PAYLOAD_BYTES = 4096


def error(
    status: int, rpc_status: str, message: str, *, code: str = "", field: str = "", reason: str = ""
) -> dict[str, Any]:
    """Write an error as Google does: `code` of an FcmError, `field` of a BadRequest, `reason` of an ErrorInfo."""
    details: list[dict[str, Any]] = []
    if code:
        details.append({"@type": TYPE + "firebase.fcm.v1.FcmError", "errorCode": code})
    if field:
        violations = [{"field": field, "description": message}]
        details.append({"@type": TYPE + "rpc.BadRequest", "fieldViolations": violations})
    if reason:
        details.append({"@type": TYPE + "rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"})
    return {"error": {"code": status, "message": message, "status": rpc_status, "details": details}}


def refusal(request: Any) -> dict[str, Any] | None:
    """Return Google's error for the body of a `messages:send`; None if Google would accept it."""
    message = request.get("message") if isinstance(request, dict) else None
    if not isinstance(message, dict) or not set(request) <= {"message", "validate_only"}:
        return _invalid("Invalid JSON payload received.", "message")
    if unknown := set(message) - MESSAGE_KEYS:
        return _invalid(f"Invalid JSON payload received. Unknown name \"{min(unknown)}\" at 'message'.", "message")
    if sum(key in message for key in ("token", "topic", "condition")) != 1:
        return _invalid("Recipient of the message is not set.", "", "INVALID_ARGUMENT")
    data = message.get("data", {})
    apns = message.get("apns", {})
    return (
        _refused_data(data)
        or _refused_android(message.get("android", {}))
        or _refused_apns(apns)
        or _refused_size(data, apns)
    )


def _refused_data(data: Any) -> dict[str, Any] | None:
    # https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages#Message
    if not isinstance(data, dict):
        return _invalid("Invalid value at 'message.data' (Map)", "message.data")
    for number, (key, value) in enumerate(data.items()):
        if not isinstance(value, str):
            field = f"message.data[{number}].value"
            return _invalid(f"Invalid value at '{field}' (TYPE_STRING), {value}", field)
        if key in ("from", "message_type") or key.startswith(("google.", "gcm.")):
            return _invalid(f"Invalid data payload key: {key}", "message.data", "INVALID_ARGUMENT")
    return None


def _refused_android(android: Any) -> dict[str, Any] | None:
    # https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages#AndroidConfig
    if not isinstance(android, dict) or not set(android) <= ANDROID_KEYS:
        return _invalid("Invalid JSON payload received. Unknown name at 'message.android'.", "message.android")
    if android.get("priority") not in PRIORITIES:
        return _invalid("Invalid value at 'message.android.priority'", "message.android.priority")
    ttl = android.get("ttl", "0s")
    if not isinstance(ttl, str) or not re.fullmatch(r"[0-9]+(\.[0-9]{1,9})?s", ttl):
        return _invalid("Invalid value at 'message.android.ttl' (Duration)", "message.android.ttl")
    if float(ttl[:-1]) > MAX_TTL_S:
        return _invalid("Invalid ttl: at most 4 weeks", "message.android.ttl", "INVALID_ARGUMENT")
    return None


def _refused_apns(apns: Any) -> dict[str, Any] | None:
    # https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages#ApnsConfig
    if not isinstance(apns, dict) or not set(apns) <= {"headers", "payload", "fcm_options", "live_activity_token"}:
        return _invalid("Invalid JSON payload received. Unknown name at 'message.apns'.", "message.apns")
    if any(not isinstance(value, str) for value in apns.get("headers", {}).values()):
        return _invalid("Invalid value at 'message.apns.headers' (TYPE_STRING)", "message.apns.headers")
    return None


def _refused_size(data: dict[str, str], apns: dict[str, Any]) -> dict[str, Any] | None:
    size = sum(len(key.encode()) + len(value.encode()) for key, value in data.items())
    size += len(json.dumps(apns["payload"], separators=(",", ":"), ensure_ascii=False).encode()) if apns else 0
    return _invalid("Android message is too big", "", "INVALID_ARGUMENT") if size > MAX_PAYLOAD_BYTES else None


def _invalid(message: str, field: str, code: str = "") -> dict[str, Any]:
    return error(400, "INVALID_ARGUMENT", message, code=code, field=field)

"""The request that carries a push to Apple: its headers and its body. Pure."""

from functools import lru_cache

from pydantic_core import to_json

from bellhop.domain.push import Push, PushKind
from worker.providers.http2.aioapns_adapter import NotificationRequest, PushType
from worker.providers.http2.header_fields import encode_field


def request_for(push: Push, topic: str) -> NotificationRequest:
    """Address `push` to the app with bundle id `topic`. A ring to a VoIP token is a VoIP push, all else is an alert."""
    ring = push.kind is PushKind.RING and not push.is_ringing_alert
    return NotificationRequest(
        device_token=push.device.token,
        message=dict(push.payload),
        notification_id=push.id,
        collapse_key=push.collapse_id,
        priority=10 if push.options.urgent else 5,
        push_type=PushType.VOIP if ring else PushType.ALERT,
        apns_topic=f"{topic}.voip" if ring else topic,
    )


def body_of(request: NotificationRequest) -> bytes:
    """Return the request body: compact JSON, since every byte counts against Apple's limit."""
    return to_json(request.message)


def header_block_of(request: NotificationRequest, authority: str, authorization: str, expiration: int) -> bytes:
    """Return the encoded request headers. `authorization` is empty if the connection uses a client certificate.

    `expiration` is unix time in seconds. aioapns' time_to_live is not used: it would count anew from each attempt, and
    all attempts of a push must expire at the same time.
    """
    push_type = request.push_type.value if request.push_type else ""
    block = encode_field(":path", f"/3/device/{request.device_token}")
    block += shared_fields(authority, authorization, request.apns_topic, push_type, request.priority)
    block += encode_field("apns-id", request.notification_id)
    block += encode_field("apns-expiration", str(expiration))
    if request.collapse_key:
        block += encode_field("apns-collapse-id", request.collapse_key)
    return block


@lru_cache(maxsize=64)
def shared_fields(authority: str, authorization: str, topic: str, push_type: str, priority: int) -> bytes:
    """Encode the header fields that are the same for many pushes."""
    fields = {
        ":method": "POST",
        ":scheme": "https",
        ":authority": authority,
        "authorization": authorization,
        "apns-topic": topic,
        "apns-push-type": push_type,
        "apns-priority": str(priority),
    }
    return b"".join(encode_field(name, value) for name, value in fields.items() if value)

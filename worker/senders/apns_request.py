"""How a push is put to Apple: headers and body. Pure."""

import json
from collections.abc import Iterable

from aioapns import NotificationRequest, PushType

from worker.push import Push, PushKind

Headers = list[tuple[bytes, bytes]]


def max_body_bytes(kind: PushKind) -> int:
    """How large a body Apple takes ("Generating a remote notification"): 5 KB for VoIP, 4 KB for everything else."""
    return 5120 if kind is PushKind.RING else 4096


def request_for(push: Push, topic: str) -> NotificationRequest:
    """Address `push` to the app with bundle id `topic`: rings go as VoIP pushes, everything else as alerts."""
    ring = push.kind is PushKind.RING
    return NotificationRequest(
        device_token=push.device.token,
        message=dict(push.payload),
        notification_id=push.id,
        collapse_key=push.collapse_id,
        priority=10,
        push_type=PushType.VOIP if ring else PushType.ALERT,
        apns_topic=f"{topic}.voip" if ring else topic,
    )


def body_of(request: NotificationRequest) -> bytes:
    """The request body: compact JSON, since every byte counts against Apple's limit."""
    return json.dumps(request.message, ensure_ascii=False, separators=(",", ":")).encode()


def headers_of(request: NotificationRequest, authority: str, authorization: str, expiration: int) -> Headers:
    """The request headers; no `authorization` when a certificate speaks for us. `expiration` is Unix time in seconds.

    A time rather than aioapns' time_to_live: all attempts of a push share one end.
    """
    headers = {
        ":method": "POST",
        ":scheme": "https",
        ":path": f"/3/device/{request.device_token}",
        ":authority": authority,
        "authorization": authorization,
        "apns-id": request.notification_id,
        "apns-topic": request.apns_topic,
        "apns-push-type": request.push_type.value if request.push_type else "",
        "apns-priority": str(request.priority),
        "apns-expiration": str(expiration),
        "apns-collapse-id": request.collapse_key,
    }
    return [(name.encode(), value.encode()) for name, value in headers.items() if value]


def encode_headers(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """HPACK (RFC 7541) at its cheapest: every field a never-indexed literal, without Huffman coding.

    Apple asks for this for :path and authorization, which are most of the bytes. Doing it for the rest costs some 100
    bytes a push, and saves most of the processor time that a push takes: hpack's tables and Huffman coder are Python.
    """
    block = bytearray()
    for field in headers:
        block.append(0b0001_0000)  # section 6.2.3: never indexed, new name
        for text in field:
            block += encode_length(len(text))
            block += text
    return bytes(block)


def encode_length(length: int) -> bytes:
    """An integer with a 7-bit prefix (RFC 7541, section 5.1); the bit before it is 0: no Huffman coding."""
    if length < 0x7F:
        return bytes((length,))
    encoded = bytearray((0x7F,))
    length -= 0x7F
    while length >= 0x80:
        encoded.append(length & 0x7F | 0x80)
        length >>= 7
    encoded.append(length)
    return bytes(encoded)

"""Print as JSON a signed request for each type of event, as Bellhop would send it now."""

import base64
import json
import os
import sys
import time

from bellhop.clock import from_nanoseconds
from bellhop.domain.announcement import REMOVED, Announcement, AnnouncementType, about_ring, alarm, device_removed
from tests.factories import a_device, a_round
from worker.events_out.event_signer import EventSigner

OLD, NEW = ("whsec_" + base64.b64encode(os.urandom(32)).decode() for _ in range(2))
NOW = from_nanoseconds(time.time_ns())
DATA = {
    AnnouncementType.UNREACHABLE: {"reason": "no_devices"},
    AnnouncementType.ENDED: {"standing": "answered"},
    AnnouncementType.MISSED_NOTICE: {"by": "email"},
}
ROUND = a_round("ben", cid="default:Ünïcode-📞")


def announced(type_: AnnouncementType) -> Announcement:
    if type_ is AnnouncementType.DEVICE_REMOVED:
        return device_removed("default", a_device("ben"), NOW, REMOVED)
    if type_ is AnnouncementType.ALARM:
        return alarm("credentials_refused", "apns com.example", "Apple refuses the credentials.", NOW)
    return about_ring(type_, ROUND, "ben", NOW, **DATA.get(type_, {}))


def request(announcement: Announcement) -> dict[str, object]:
    body = announcement.document()
    return {"headers": dict(EventSigner([OLD, NEW]).headers(announcement.id, NOW, body)), "body": body}


if __name__ == "__main__":
    requests = [request(announced(type_)) for type_ in AnnouncementType]
    sys.stdout.write(json.dumps({"secrets": [OLD, NEW], "requests": requests}))

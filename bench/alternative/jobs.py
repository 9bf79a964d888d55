"""The job: push to every device of every member."""

import asyncio
import json
import os
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aioapns import APNs, NotificationRequest, PushType
from aioapns.connection import APNsProductionClientProtocol
from pyfcm import FCMNotification
from pyfcm.baseapi import BaseAPI
from redis import Redis

# The stand-ins instead of Apple and Google; the rest is what the libraries' own pages show.
APPLE = urlsplit(os.environ["APNS_URL"])
APNsProductionClientProtocol.APNS_SERVER, APNsProductionClientProtocol.APNS_PORT = (
    str(APPLE.hostname),
    int(APPLE.port or 443),
)
BaseAPI.FCM_END_POINT_BASE = os.environ["FCM_URL"] + "/v1/projects"

redis = Redis.from_url(os.environ["REDIS_URL"])


def ring(event: dict[str, Any]) -> None:
    for member in event["members"]:
        for device in json.loads(redis.get(f"devices:{member['user_id']}") or "[]"):
            stream = {
                "sender": "stream.video",
                "type": "call.ring",
                "version": "v2",
                "call_cid": event["call_cid"],
                "call_display_name": event["call"]["custom"].get("display_name", ""),
                "created_by_id": event["user"]["id"],
                "created_by_display_name": event["user"]["name"],
                "receiver_id": member["user_id"],
                "video": "true" if event["video"] else "false",
            }
            if device["provider"] == "apns":
                asyncio.run(push_to_apple(device["token"], stream))
            else:
                fcm = FCMNotification(os.environ["SERVICE_ACCOUNT"], os.environ["PROJECT"])
                fcm.notify(device["token"], data_payload=stream, android_config={"priority": "HIGH", "ttl": "30s"})


async def push_to_apple(token: str, stream: dict[str, str]) -> None:
    apns = APNs(
        key=Path(os.environ["APNS_KEY_FILE"]).read_text(),
        key_id=os.environ["APNS_KEY_ID"],
        team_id=os.environ["APNS_TEAM_ID"],
        topic=os.environ["APNS_TOPIC"] + ".voip",
        ssl_context=ssl.create_default_context(cafile=os.environ["REQUESTS_CA_BUNDLE"]),
    )
    message = {"aps": {"alert": {"title": f"{stream['created_by_display_name']} is calling you"}}, "stream": stream}
    await apns.send_notification(
        NotificationRequest(token, message, time_to_live=30, priority=10, push_type=PushType.VOIP)
    )

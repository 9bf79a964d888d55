"""What a phone reports about its ring, with the ticket that came in the push. Pure.

A ticket is valid for its ring, device and user alone, until two minutes after the ring's deadline.
"""

from collections.abc import Mapping
from enum import StrEnum

from bellhop.clock import MICROS_PER_SECOND, Micros
from bellhop.domain.rejections import rejection_stamps

VALID_AFTER_US = Micros(120 * MICROS_PER_SECOND)
"""How long a ticket is valid after the deadline of its ring."""
MOST_REPORTS = 60
"""Reports that are accepted with one ticket."""


class PhoneEvent(StrEnum):
    """What happened on the phone. The words are public, and on the trail."""

    RANG = "rang"
    DECLINED = "declined"
    """The user declined."""
    BUSY = "busy"
    """The user is in another call."""
    ANSWERED_ELSEWHERE = "answered_elsewhere"
    """The phone stopped ringing, since the user answered on another device."""
    DISMISSED = "dismissed"
    """The user removed the notification. This does not decline the call."""
    NOT_SHOWN = "not_shown"
    """The push arrived, but the phone could not show the call."""


REJECTIONS: dict[str, str] = {PhoneEvent.DECLINED: "decline", PhoneEvent.BUSY: "busy"}
"""The events that end the ring for the user, and Stream's reason of that rejection."""
BY_HAND = "declined on the phone"
"""The reason in the stamp of a decline. A phone reports a decline only if its user declines. With Stream's reason, a
decline close to the ring's end would count as the phone's time-out."""


def stamps_of_report(user: str, event: str) -> list[str]:
    """Name the stamps that a phone's report sets on its call; none unless the user rejects the ring."""
    if event not in REJECTIONS:
        return []
    return rejection_stamps(user, BY_HAND if event == PhoneEvent.DECLINED else REJECTIONS[event])


def rejected_at(now: Micros, started_at: Micros, later_ring: Micros | None) -> Micros:
    """Return the stamp of a rejection that a phone reports `now`, by Stream's clock.

    The rejection ends the ticket's ring only. So the stamp is not before the start of that ring, and it is before any
    later ring of the call.
    """
    return max(started_at, now if later_ring is None else min(now, Micros(later_ring - 1)))


NOT_SHOWN_BECAUSE: Mapping[str, str] = {
    "notifications_off": "the app may not show notifications",
    "channel_off": "the notification channel for calls is off",
    "full_screen_off": "the app may not show a call over the whole screen",
    "callkit_error": "iOS did not take the call (CallKit)",
    "telecom_error": "Android did not take the call (Telecom)",
    "do_not_disturb": "a Focus or Do Not Disturb is on",
    "signed_out": "nobody is signed in in the app",
    "other_user": "another user is signed in in the app",
    "already_over": "the call was over when the push came",
    "not_ringing_at_stream": "the call did not ring any more when the app asked Stream",
    "app_error": "the app failed",
}
"""Why a phone did not show a call, by the word that the app sends (docs/receipts.md). Other words are shown as sent."""
ALREADY_OVER = "already_over"


def why_not_shown(reason: str) -> str:
    """Say why a phone did not show a call; empty if it gave no reason."""
    return NOT_SHOWN_BECAUSE.get(reason, reason.replace("_", " "))

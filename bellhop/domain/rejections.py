"""The reasons of rejections, and the stamps that a rejection sets. Pure.

Stream's SDKs give these reasons (docs/client-contract.md). An app may give any other text.
"""

from bellhop.domain.call import Stamp

REASONS = {
    "busy": Stamp.BUSY,
    "timeout": Stamp.TIMED_OUT,
    "report-call-failed": Stamp.TIMED_OUT,
    "not-configured": Stamp.TIMED_OUT,
}
"""Reasons after which the user does not know of the call: a missed-call notice is due."""
BY_PHONE = frozenset(
    {
        "call.ended event received",
        "call-has-ended",
        "call-ended",
        "ring: creator rejected",
        "ring: everyone rejected",
        "user-responded-elsewhere",
    }
)
"""Reasons that a phone gives by itself when the ring was already over. Such a rejection is not a decline."""
PLAIN = frozenset({"", "decline"})
"""Reasons of a user who declines. Some phones give them too, by themselves, when they stop ringing."""
OTHER = "other"
"""The trail's word for a reason of the app's own."""


def rejection_stamps(user: str, reason: str) -> list[str]:
    """Name the stamps that a rejection sets: its reason's, and that the user has rejected."""
    if reason in BY_PHONE:
        stamps = [Stamp.BY_PHONE]
    elif reason in REASONS:
        stamps = [REASONS[reason]]
    else:
        stamps = [Stamp.DECLINED] if reason in PLAIN else [Stamp.DECLINED, Stamp.IN_WORDS]
    return [stamp + user for stamp in (*stamps, Stamp.REJECTED)]


def word_of(reason: str) -> str:
    """Return the word for a reason on the trail: never a text that a user may have written."""
    if reason in PLAIN:
        return ""
    return reason if reason in REASONS or reason in BY_PHONE else OTHER

"""The types of Stream's events that Bellhop does something about. Pure."""

HANDLED_EVENT_TYPES = frozenset(
    {
        "call.ring",
        "call.notification",
        "call.missed",
        "call.rejected",
        "call.accepted",
        "call.session_participant_joined",
        "call.ended",
        "call.deleted",
        "call.session_ended",
    }
)
"""Every other type is answered 200, counted, and not queued."""

"""The types of Stream's events that Bellhop handles. Pure."""

HANDLED_EVENT_TYPES = frozenset(
    {
        "call.ring",
        "call.notification",
        "call.live_started",
        "call.session_started",
        "call.missed",
        "call.rejected",
        "call.accepted",
        "call.session_participant_joined",
        "call.session_participant_left",
        "call.member_removed",
        "call.blocked_user",
        "call.kicked_user",
        "call.ended",
        "call.deleted",
        "call.session_ended",
        "user.deleted",
        "user.deactivated",
        "user.reactivated",
        "user.updated",
    }
)
"""Events of all other types are answered 200, counted, and not queued."""

TEST_EVENT_TYPE = "bellhop.check"
"""The type of the webhook that `bellhop check` signs and posts itself."""

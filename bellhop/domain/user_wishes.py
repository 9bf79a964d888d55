"""What a user object of Stream's says about the pushes that the user wants. Pure."""

from bellhop.clock import Micros
from bellhop.domain.json_fields import timestamp_us
from bellhop.domain.round import FOREVER
from bellhop.domain.stream_json import JsonPushPreferences, JsonPushSwitch, JsonUser


def muted_until(user: JsonUser) -> Micros:
    """Read until when the user has switched off pushes of calls at Stream, in either form that Stream has for it."""
    switch, preferences = user.push_notifications, user.push_preferences
    if switch is None and preferences is None:
        return Micros(0)
    switch, preferences = switch or JsonPushSwitch(), preferences or JsonPushPreferences()
    end = timestamp_us(switch.disabled_until)
    if preferences.call_level == "none" or (switch.disabled and end is None):
        return FOREVER
    return min(FOREVER, max(Micros(0), end or Micros(0), timestamp_us(preferences.disabled_until) or Micros(0)))


def blocks(user: JsonUser, caller_id: str) -> bool:
    """Tell whether the user has blocked the caller. An empty id is nobody's."""
    return bool(caller_id and user.blocked_user_ids and caller_id in user.blocked_user_ids)

"""How a phone's settings affect its rings: a table of all states, each with its sentence and the next step. Pure.

The paths are those of Google's own phones from Android 14 on, and of iOS 18 and later; manufacturers name some places
differently. Sources are named where a sentence says what a system does.
"""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from bellhop.domain.device import RingsBy
from bellhop.domain.phone import DEMOTIONS_FOR_A_WARNING, PhoneRecord
from bellhop.domain.phone_report import ALREADY_OVER, PhoneEvent

LAST_WITH_A_LIMIT = 12
"""The last version of Android that limits pushes with high priority by the app's standby bucket."""
FIRST_WITH_SILENT_RINGS = 17
"""From this version on, Android lets an app play a ringtone after a push only if Telecom has the call."""


class RingEffect(StrEnum):
    """What a state does to a ring, the worst first."""

    SILENT = "silent"
    """The phone does not ring."""
    UNSURE = "unsure"
    """The phone may not ring, or rings too late."""
    NO_SOUND = "no_sound"
    """The phone shows the call, and makes no sound."""
    NOTE = "note"
    """The phone rings. Something else is worth knowing."""

    @property
    def rank(self) -> int:
        """The rank of this effect; 0 is the worst."""
        return [*RingEffect].index(self)


class PhoneState(NamedTuple):
    """A state of a phone."""

    word: str
    """Stable: programs may compare it."""
    effect: RingEffect
    sentence: str
    """{since} is replaced by the day of the first report, such as " since 12 Nov", {reason} by the phone's words."""
    next: str
    """What to do about it. With steps, it follows "On the phone, open <steps>, and "."""
    when: Mapping[str, Any]
    """The values that the phone's health must have, by field. The first field gives the day in the sentence."""
    steps: tuple[str, ...] = ()
    """What to tap on the phone, one after the other, to reach the setting."""
    passes: bool = False
    """Whether the state is temporary: then an old report of it is only a note."""
    also: Callable[[PhoneRecord], bool] = lambda record: True
    """What else must be true."""
    rings: RingsBy | None = None
    """Only phones that ring by this push can be in this state; None: all phones."""

    @property
    def path(self) -> str:
        """The steps as one text; empty if there are none."""
        return " \N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK} ".join(self.steps)

    @property
    def advice(self) -> str:
        """The next step as a sentence."""
        return f"On the phone, open {self.path}, and {self.next}." if self.path else self.next


def _version(text: str | None) -> tuple[int, ...]:
    """Read a version such as "1.45.2-beta"; empty if it does not begin with a number."""
    numbers = re.match(r"[0-9]+(?:\.[0-9]+)*", text or "")
    return tuple(map(int, numbers[0].split("."))) if numbers else ()


def _before(record: PhoneRecord, version: str) -> bool:
    """Tell whether the phone's SDK is known to be older than `version`."""
    known = _version(record.health.sdk_version)
    return bool(known) and known < _version(version)


def _android(record: PhoneRecord) -> int:
    return (_version(record.health.os_version) or (0,))[0]


def _is_of_a_limited_android(record: PhoneRecord) -> bool:
    return 0 < _android(record) <= LAST_WITH_A_LIMIT


ANDROID, IOS, BROWSER = "android", "ios", "browser"
APP = ("Settings", "Apps", "(the app)")
CHANNEL = (*APP, "Notifications", "(the channel for calls)")
SOUND = ("Settings", "Sound & vibration")
NOTICES = ("Settings", "Notifications", "(the app)")
TELL_DEVELOPERS = "Tell the developers of the app: its settings cannot be changed on the phone."
CALLKIT = "iOS refused to show the last call"

STATES: tuple[PhoneState, ...] = (
    PhoneState(
        "notifications_denied",
        RingEffect.SILENT,
        "The app may not show notifications{since}, so Android shows no call.",
        "allow them",
        {"notifications": "denied", "os": ANDROID},
        (*APP, "Notifications"),
    ),
    PhoneState(
        "notifications_not_asked",
        RingEffect.SILENT,
        "The app has not asked yet whether it may show notifications, so Android shows no call.",
        "Open the app, and allow notifications when it asks.",
        {"notifications": "not_asked", "os": ANDROID},
    ),
    PhoneState(
        "channel_off",
        RingEffect.SILENT,
        "The notification channel for calls is switched off{since}.",
        "switch it on",
        {"channel_importance": "none"},
        CHANNEL,
    ),
    PhoneState(  # developer.android.com: IMPORTANCE_MIN and _LOW show in the shade, and make no sound
        "channel_in_the_shade",
        RingEffect.UNSURE,
        "The notification channel for calls is set to show them without a sound, and only in the list of "
        "notifications{since}.",
        "set it to alert",
        {"channel_importance": ("min", "low")},
        CHANNEL,
    ),
    PhoneState(  # IMPORTANCE_DEFAULT makes a sound and does not intrude visually
        "channel_not_on_the_screen",
        RingEffect.UNSURE,
        "The notification channel for calls may make a sound, but may not show calls on the screen{since}.",
        "let it pop up on the screen",
        {"channel_importance": "default"},
        CHANNEL,
    ),
    PhoneState(
        "channel_without_sound",
        RingEffect.NO_SOUND,
        "The notification channel for calls has no sound{since}.",
        "choose a sound",
        {"channel_sound": False},
        CHANNEL,
    ),
    PhoneState(  # source.android.com, "Full-screen intent limits"
        "full_screen_off",
        RingEffect.UNSURE,
        "Full-screen notifications are off for the app{since}, so a call does not open over the locked screen: it "
        "shows as a notification only.",
        "allow the app",
        {"full_screen_intent": False},
        ("Settings", "Apps", "Special app access", "Full screen notifications"),
    ),
    PhoneState(  # ActivityManager.isBackgroundRestricted: no foreground service unless the app is on the screen
        "background_restricted",
        RingEffect.UNSURE,
        "The app's battery usage is restricted{since}, so Android does not let it start the service that rings.",
        "choose Optimized or Unrestricted",
        {"background_restricted": True},
        (*APP, "App battery usage"),
    ),
    PhoneState(  # developer.android.com, power-details: Doze does not restrict high priority
        "battery_optimised",
        RingEffect.NOTE,
        "Battery optimisation applies to the app{since}. Android lets rings through, but on some phones the "
        "manufacturer's own rules do not.",
        "choose Unrestricted if calls come late",
        {"battery_optimised": True},
        (*APP, "App battery usage", "Allow background usage"),
    ),
    PhoneState(  # power-details: up to Android 12, 5 pushes with high priority a day in "rare" and "restricted"
        "rarely_used",
        RingEffect.UNSURE,
        "Android counts the app as rarely used{since}, and delivers five urgent pushes a day at once; the others wait.",
        "Open the app more often, or switch battery optimisation off for it.",
        {"standby_bucket": ("rare", "restricted"), "os": ANDROID},
        also=_is_of_a_limited_android,
    ),
    PhoneState(  # the same table: 10 a day in "frequent"
        "not_used_daily",
        RingEffect.NOTE,
        "Android counts the app as not used every day{since}, and delivers ten urgent pushes a day at once; the others "
        "wait.",
        "Open the app more often if many calls come late.",
        {"standby_bucket": "frequent", "os": ANDROID},
        also=_is_of_a_limited_android,
    ),
    PhoneState(
        "restricted_bucket",
        RingEffect.NOTE,
        "Android restricts the app's work in the background{since}, because it was seldom used or used much power.",
        "choose Unrestricted",
        {"standby_bucket": "restricted", "os": ANDROID},
        (*APP, "App battery usage"),
        also=lambda record: _android(record) > LAST_WITH_A_LIMIT,
    ),
    PhoneState(  # developer.android.com, "Optimize network data usage"
        "data_saver",
        RingEffect.UNSURE,
        "Data Saver is on{since}: in a mobile network, the app cannot ask about a call while it is in the background.",
        "allow the app",
        {"data_saver": True},
        ("Settings", "Network & internet", "Data Saver", "Unrestricted data"),
    ),
    PhoneState(
        "battery_saver",
        RingEffect.NOTE,
        "Battery Saver was on when the phone last reported{since}: apps in the background may lose the network.",
        "switch it off",
        {"power_save": True, "os": ANDROID},
        ("Settings", "Battery", "Battery Saver"),
        passes=True,
    ),
    PhoneState(  # developer.android.com, "App hibernation": no push reaches a hibernated app, not even an urgent one
        "paused_if_unused",
        RingEffect.NOTE,
        "If the app is not used for some months, Android pauses it{since}, and then no push reaches it.",
        "switch off “Pause app activity if unused”",
        {"paused_if_unused": True},
        APP,
    ),
    PhoneState(
        "play_services_missing",
        RingEffect.SILENT,
        "The phone has no Google Play services{since}, and Google's pushes need them.",
        "Use a phone with Google Play services, or reach this user in another way.",
        {"play_services": "missing"},
    ),
    PhoneState(
        "play_services_disabled",
        RingEffect.SILENT,
        "Google Play services are disabled{since}, so no push arrives.",
        "enable them",
        {"play_services": "disabled"},
        ("Settings", "Apps", "Google Play services"),
    ),
    PhoneState(
        "play_services_outdated",
        RingEffect.UNSURE,
        "Google Play services are too old for the app{since}, so pushes may not arrive.",
        "Update Google Play services in the Play Store.",
        {"play_services": "outdated"},
    ),
    PhoneState(  # firebase.google.com, message priority: seven days of pushes that showed nothing
        "pushes_demoted",
        RingEffect.UNSURE,
        "Google delivers this phone's calls with normal priority{since}, although Bellhop sends them as urgent. A "
        "sleeping phone gets them late. Google does so if pushes of the last seven days showed nothing to the user.",
        "Let the app show a notification for every push, and open it from time to time.",
        {"fcm_priority": "normal"},
        also=lambda record: record.demoted >= DEMOTIONS_FOR_A_WARNING,
    ),
    PhoneState(
        "last_push_demoted",
        RingEffect.NOTE,
        "The last call came with normal priority{since}, although Bellhop sent it as urgent.",
        "Nothing yet. If it goes on, Bellhop warns.",
        {"fcm_priority": "normal"},
        also=lambda record: record.demoted < DEMOTIONS_FOR_A_WARNING,
    ),
    PhoneState(  # NotificationManager.INTERRUPTION_FILTER_NONE
        "total_silence",
        RingEffect.NO_SOUND,
        "Do Not Disturb let nothing through when the phone last reported{since}.",
        "switch it off, or let calls through",
        {"do_not_disturb": "silence"},
        (*SOUND, "Do Not Disturb"),
        passes=True,
    ),
    PhoneState(
        "alarms_only",
        RingEffect.NO_SOUND,
        "Do Not Disturb let only alarms through when the phone last reported{since}.",
        "let calls through, or switch it off",
        {"do_not_disturb": "alarms"},
        (*SOUND, "Do Not Disturb"),
        passes=True,
    ),
    PhoneState(
        "do_not_disturb",
        RingEffect.UNSURE,
        "Do Not Disturb was on when the phone last reported{since}; it lets through what the user chose.",
        "allow the app to interrupt",
        {"do_not_disturb": "priority"},
        (*SOUND, "Do Not Disturb", "Apps"),
        passes=True,
    ),
    PhoneState(
        "phone_on_silent",
        RingEffect.NO_SOUND,
        "The phone was set to silent when it last reported{since}.",
        "Press a volume key, and switch the sound on.",
        {"ringer": "silent"},
        passes=True,
    ),
    PhoneState(
        "phone_on_vibrate",
        RingEffect.NO_SOUND,
        "The phone was set to vibrate when it last reported{since}.",
        "Press a volume key, and choose Ring instead of Vibrate.",
        {"ringer": "vibrate"},
        passes=True,
    ),
    PhoneState(
        "ring_volume_zero",
        RingEffect.NO_SOUND,
        "The volume of the ringtone was zero when the phone last reported{since}.",
        "raise the ring volume",
        {"ring_volume": 0},
        SOUND,
        passes=True,
    ),
    PhoneState(
        "telecom_refused",
        RingEffect.UNSURE,
        "Android's Telecom refused the last call{since}.",
        "Restart the phone. If it goes on, tell the developers of the app.",
        {"telecom_error": True},
    ),
    PhoneState(
        "silent_on_android_17",
        RingEffect.NO_SOUND,
        "From Android 17 on, an app that a push started may not play a ringtone unless the call is registered with "
        "Telecom, and Stream's SDK for Flutter does that from 1.6.0 on.",
        "Update the app. Its developers need version 1.6.0 or newer of Stream's SDK.",
        {"sdk": "flutter", "os": ANDROID},
        also=lambda record: _android(record) >= FIRST_WITH_SILENT_RINGS and _before(record, "1.6.0"),
    ),
    PhoneState(
        "no_notices",
        RingEffect.NOTE,
        "The app may not show notifications{since}: calls ring through CallKit, but missed calls are not shown.",
        "allow them",
        {"notifications": "denied", "os": IOS},
        NOTICES,
        rings=RingsBy.VOIP,
    ),
    PhoneState(
        "notices_not_asked",
        RingEffect.NOTE,
        "The app has not asked yet whether it may show notifications: calls ring through CallKit, but missed calls are "
        "not shown.",
        "Open the app, and allow notifications when it asks for them.",
        {"notifications": "not_asked", "os": IOS},
        rings=RingsBy.VOIP,
    ),
    PhoneState(  # UNAuthorizationStatus.provisional
        "notices_are_quiet",
        RingEffect.NOTE,
        "The app's notifications are delivered quietly{since}: calls ring through CallKit, but missed calls show in "
        "Notification Centre only.",
        "allow alerts and sounds",
        {"notifications": "quiet", "os": IOS},
        NOTICES,
        rings=RingsBy.VOIP,
    ),
    PhoneState(
        "notices_without_sound",
        RingEffect.NOTE,
        "The app's notifications make no sound{since}: calls ring through CallKit, but missed calls come in silence.",
        "switch Sounds on",
        {"notification_sound": False},
        (*NOTICES, "Sounds"),
        rings=RingsBy.VOIP,
    ),
    PhoneState(
        "alerts_denied",
        RingEffect.SILENT,
        "The app may not show notifications{since}, and this iPhone rings by alerts.",
        "allow them",
        {"notifications": "denied", "os": IOS},
        NOTICES,
        rings=RingsBy.ALERT,
    ),
    PhoneState(
        "alerts_not_asked",
        RingEffect.SILENT,
        "The app has not asked yet whether it may show notifications, and this iPhone rings by alerts.",
        "Open the app, and allow notifications when it asks for them.",
        {"notifications": "not_asked", "os": IOS},
        rings=RingsBy.ALERT,
    ),
    PhoneState(
        "alerts_are_quiet",
        RingEffect.NO_SOUND,
        "The app's notifications are delivered quietly{since}, and this iPhone rings by alerts.",
        "allow alerts and sounds",
        {"notifications": "quiet", "os": IOS},
        NOTICES,
        rings=RingsBy.ALERT,
    ),
    PhoneState(
        "alerts_without_sound",
        RingEffect.NO_SOUND,
        "The app's notifications make no sound{since}, and this iPhone rings by alerts.",
        "switch Sounds on",
        {"notification_sound": False},
        (*NOTICES, "Sounds"),
        rings=RingsBy.ALERT,
    ),
    PhoneState(
        "focus_on",
        RingEffect.UNSURE,
        "A Focus was on when the phone last reported{since}; it lets through whom and what the user chose.",
        "allow calls from the app, or end the Focus",
        {"focus": True},
        ("Settings", "Focus"),
        passes=True,
    ),
    # CXErrorCodeIncomingCallError
    PhoneState(
        "callkit_unentitled",
        RingEffect.SILENT,
        f"{CALLKIT}{{since}}, since the app is not entitled to receive calls (CallKit error 1).",
        TELL_DEVELOPERS,
        {"callkit_error": 1},
    ),
    PhoneState(
        "callkit_same_call",
        RingEffect.NOTE,
        "The phone had the last call already when the push came{since} (CallKit error 2).",
        "Nothing: it is the same call.",
        {"callkit_error": 2},
    ),
    PhoneState(
        "callkit_do_not_disturb",
        RingEffect.UNSURE,
        f"{CALLKIT}{{since}}: Do Not Disturb is on, and does not let this caller through (CallKit error 3).",
        "let calls through, or end Do Not Disturb",
        {"callkit_error": 3},
        ("Settings", "Focus", "Do Not Disturb"),
    ),
    PhoneState(
        "callkit_blocked",
        RingEffect.UNSURE,
        f"{CALLKIT}{{since}}: the user has blocked the caller on the phone (CallKit error 4).",
        "remove the caller, if that is wanted",
        {"callkit_error": 4},
        ("Settings", "Apps", "Phone", "Blocked Contacts"),
    ),
    PhoneState(
        "callkit_sharing",
        RingEffect.UNSURE,
        f"{CALLKIT}{{since}}: the phone is in a restricted sharing mode (CallKit error 5).",
        "Nothing: it ends with the sharing.",
        {"callkit_error": 5},
    ),
    PhoneState(
        "callkit_protected",
        RingEffect.UNSURE,
        f"{CALLKIT}{{since}}: it counts as protected (CallKit error 6).",
        "Look for a restriction on the phone: Apple says no more about this error.",
        {"callkit_error": 6},
    ),
    PhoneState(
        "callkit_sensitive",
        RingEffect.UNSURE,
        f"{CALLKIT}{{since}}, because of who takes part in it (CallKit error 7).",
        "Look for a restriction on the phone, such as one for children: Apple says no more about this error.",
        {"callkit_error": 7},
    ),
    PhoneState(
        "callkit_error",
        RingEffect.UNSURE,
        f"{CALLKIT}{{since}}, for a reason that it does not name.",
        "Restart the phone. If it goes on, tell the developers of the app, with the CallKit error of the last receipt.",
        {"callkit_error": (0, *range(8, 100))},
    ),
    PhoneState(
        "answered_call_hangs_up",
        RingEffect.NOTE,
        "Stream's SDK for Swift before 1.56.0 hangs up an answered call if its push comes a second time.",
        "Update the app. Its developers need version 1.56.0 or newer of Stream's SDK.",
        {"sdk": "swift", "os": IOS},
        also=lambda record: _before(record, "1.56.0"),
    ),
    PhoneState(
        "browser_denies",
        RingEffect.SILENT,
        "The browser may not show notifications of the app{since}, so it shows no call.",
        "In the browser, open the settings of the app's site, and allow notifications.",
        {"notifications": "denied", "os": BROWSER},
    ),
    PhoneState(
        "browser_not_asked",
        RingEffect.SILENT,
        "The app has not asked yet whether it may show notifications, so the browser shows no call.",
        "Open the app in the browser, and allow notifications when it asks.",
        {"notifications": "not_asked", "os": BROWSER},
    ),
    PhoneState(
        "not_signed_in",
        RingEffect.UNSURE,
        "Nobody is signed in in the app{since}: the phone rings for a moment at most.",
        "Open the app and sign in, or remove the phone from this user's devices.",
        {"signed_in": False},
    ),
    PhoneState(
        "could_not_show",
        RingEffect.UNSURE,
        "The phone reported of the last call that it could not show it{reason}.",
        "Open the app, and look for what it asks for. The other reasons here may say more.",
        {},
        also=lambda record: record.event == PhoneEvent.NOT_SHOWN and record.reason != ALREADY_OVER,
    ),
)
"""Every state that a phone's report can show. A test walks all of them."""

"""Stream's own templates of pushes, in the form of a team's own pushes (docs/pushes.md).

They stand in the notification settings of each call type, as Stream's server SDK reads them (getstream 7.0.0:
NotificationSettingsResponse). Stream documents two values, `user.display_name` and `call.display_name`; ours are
`caller.name` and `call.name`.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from bellhop.domain.device import Provider
from bellhop.domain.own_pushes import PushTemplates
from bellhop.domain.push import PushKind
from bellhop.domain.text_template import MOST_SOURCE
from bellhop.settings.push_entry import PushEntry
from bellhop.stream_api import StreamApi

KINDS = {
    f"call_{kind}": kind
    for kind in PushKind
    if kind not in {PushKind.SESSION_STARTED, PushKind.SECOND_RING, PushKind.RING_OVER, PushKind.ALERT_RING}
} | {"session_started": PushKind.SESSION_STARTED}
"""Stream's name of each push that Bellhop sends. Stream sends no second ring, and no alert that rings."""
OF_STREAM = (Provider.APNS, Provider.FCM)
"""The providers through which Stream sends pushes, and Bellhop too."""
VALUES = {
    "user.display_name": "caller.name",
    "user.name": "caller.name",
    "user.id": "caller.id",
    "call.display_name": "call.name",
    "call.id": "call.id",
    "call.type": "call.type",
    "call.cid": "call.cid",
}
"""Values of Stream's templates and of ours."""
CUSTOM = re.compile(r"(user|call)\.custom\.([A-Za-z_]\w*)")
EXPRESSION = re.compile(r"\{\{\{?\s*(.*?)\s*\}?\}\}", re.DOTALL)
USUAL_SOUND = "default"


def _or_none(kind: type) -> BeforeValidator:
    """Read a value of another type as None: the check must not fail because of a template that it cannot read."""
    return BeforeValidator(lambda value: value if isinstance(value, kind) else None)


Text = Annotated[str | None, _or_none(str)]
Data = Annotated[dict[str, Any] | None, _or_none(dict)]


class StreamApns(BaseModel):
    """What a push says through Apple."""

    title: Text = None
    body: Text = None
    sound: Text = None
    content_available: Any = Field(None, alias="content-available")
    data: Data = None


class StreamFcm(BaseModel):
    """What a push carries through Google."""

    data: Data = None


class StreamPush(BaseModel):
    """One push of a call type: whether Stream sends it, and what it says."""

    enabled: bool | None = None
    apns: Annotated[StreamApns | None, _or_none(dict)] = None
    fcm: Annotated[StreamFcm | None, _or_none(dict)] = None


class StreamPushes(BaseModel):
    """The pushes of a call type. `enabled` is the switch for all of them."""

    enabled: bool | None = None
    call_ring: StreamPush | None = None
    call_missed: StreamPush | None = None
    call_notification: StreamPush | None = None
    call_live_started: StreamPush | None = None
    session_started: StreamPush | None = None

    def switched_on(self, names: Sequence[str]) -> list[str]:
        """Return those of the pushes with these names that Stream sends."""
        if self.enabled is False:
            return []
        pushes = {name: getattr(self, name) for name in names}
        return [name for name, push in pushes.items() if push is not None and push.enabled]


class CallType(BaseModel):
    """A call type, as far as Bellhop reads it."""

    notification_settings: StreamPushes | None = None


class CallTypes(BaseModel):
    """Stream's answer: all call types, by name."""

    call_types: dict[str, CallType]


async def read_call_types(api: StreamApi) -> dict[str, CallType]:
    """Read the call types of an app. Raises StreamRefused."""
    return (await api.get("/api/v2/video/calltypes", CallTypes)).call_types


class TakenOver(NamedTuple):
    """One push of one call type at one provider, as a table of our file has it."""

    call_type: str
    kind: PushKind
    provider: Provider
    fields: dict[str, Any]
    """The fields of the table, besides kind, provider and call_type."""
    lost: tuple[str, ...]
    """What cannot be taken over, each with the reason."""


def taken_over(call_types: Mapping[str, CallType]) -> Iterator[TakenOver]:
    """Yield the pushes that have texts or data at Stream."""
    for call_type, settings in sorted(call_types.items()):
        for name, kind in KINDS.items():
            push: StreamPush = getattr(settings.notification_settings, name, None) or StreamPush()
            for provider in OF_STREAM:
                fields, lost = _converted(kind, provider, *_given(push, provider))
                if provider is Provider.APNS and push.apns and push.apns.content_available:
                    lost.append("content-available: a push of Bellhop's does not start the app in the background")
                if fields or lost:
                    yield TakenOver(call_type, kind, provider, fields, tuple(lost))


def _given(push: StreamPush, provider: Provider) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the texts and the data of a push. Stream has no texts for Google; teams put them into the data."""
    if provider is Provider.APNS:
        apns = push.apns or StreamApns()
        sound = apns.sound if apns.sound != USUAL_SOUND else ""
        texts = {"title": apns.title, "body": apns.body, "sound": sound}
        return {name: text for name, text in texts.items() if text}, apns.data or {}
    data = {**(push.fcm.data or {})} if push.fcm else {}
    texts = {name: data.pop(name) for name in ("title", "body", "sound") if isinstance(data.get(name), str)}
    return {name: text for name, text in texts.items() if text}, data


def _converted(
    kind: PushKind, provider: Provider, texts: Mapping[str, str], data: Mapping[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """Return the fields of our table, and what cannot be taken over, each with the reason."""
    push = {"kind": kind, "provider": provider}
    fields: dict[str, Any] = {}
    our_data: dict[str, str] = {}
    lost: list[str] = []
    for name, source in texts.items():
        field = "ringtone" if name == "sound" and kind is PushKind.RING else name
        template, unknown = our_template(source)
        if reason := _why_not(template, unknown, push | {field: template}):
            lost.append(f"{name}: {reason}")
        else:
            fields[field] = template
    for key, value in data.items():
        template, unknown = our_template(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        if reason := _why_not(template, unknown, push | {"data": {key: template}}):
            lost.append(f"data {key}: {reason}")
        else:
            our_data[key] = template
    return fields | ({"data": our_data} if our_data else {}), lost


def _why_not(template: str, unknown: str, entry: Mapping[str, Any]) -> str:
    """Return why a translated template cannot be in an entry of our file; empty if it can."""
    if unknown:
        return f"Bellhop has no {{{{{unknown}}}}}"
    if len(template) > MOST_SOURCE:
        return f"it has more than {MOST_SOURCE} characters"
    try:
        PushEntry.model_validate(entry)
    except ValidationError as error:
        return str(error.errors()[0]["msg"].removeprefix("Value error, "))
    return ""


def our_template(source: str) -> tuple[str, str]:
    """Translate a template of Stream's (handlebars); returns ours, and the first expression that has no translation."""
    unknown: list[str] = []
    parts = []
    ended = 0
    for expression in EXPRESSION.finditer(source):
        value = _value(expression[1])
        if value is None:
            unknown.append(expression[1])
        parts += [_literal(source[ended : expression.start()]), f"{{{{ {value} }}}}"]
        ended = expression.end()
    return "".join([*parts, _literal(source[ended:])]), unknown[0] if unknown else ""


def _value(name: str) -> str | None:
    if custom := CUSTOM.fullmatch(name):
        return f"{'caller' if custom[1] == 'user' else 'call'}.custom.{custom[2]}"
    return VALUES.get(name)


def _literal(text: str) -> str:
    """Escape the signs in a text that begin a tag or a comment of Jinja's."""
    return re.sub(r"\{[%#]", lambda begin: f"{{{{ '{begin[0]}' }}}}", text)


def custom_fields_of(pushes: Sequence[TakenOver]) -> dict[str, list[str]]:
    """Return the custom fields that the templates use: of the `call`, and of the `caller`."""
    sources = " ".join(json.dumps(push.fields) for push in pushes)
    used = re.findall(r"\{\{ (call|caller)\.custom\.(\w+) \}\}", sources)
    return {owner: sorted({name for of, name in used if of == owner}) for owner in ("call", "caller")}


def without_ours(push: TakenOver, templates: PushTemplates, apps: Sequence[str]) -> list[str]:
    """Return the fields and keys that Stream's push has, and that our pushes to these apps do not have."""
    wanted = {*(name for name in push.fields if name != "data"), *push.fields.get("data", {})}
    found = [templates.of(push.kind, push.provider, app, f"{push.call_type}:") for app in apps or [""]]
    ours = [{*template.texts, *template.data} for template in found if template]
    return sorted(wanted - set().union(*ours))


def as_toml(pushes: Sequence[TakenOver], call_types: Sequence[str]) -> str:
    """Write the file. A push that is the same for all call types has one table."""
    tables = []
    for push in pushes:
        same = [other for other in pushes if other[1:] == push[1:]]
        everywhere = len(same) == len(call_types)
        if push.fields and (not everywhere or push is same[0]):
            tables.append(_table(push, "" if everywhere else push.call_type))
    return "\n".join(tables)


def _table(push: TakenOver, call_type: str) -> str:
    head = {"kind": str(push.kind), "provider": str(push.provider)} | ({"call_type": call_type} if call_type else {})
    texts = {name: value for name, value in push.fields.items() if name != "data"}
    lines = ["[[pushes]]", *_pairs(head | texts)]
    if data := push.fields.get("data"):
        lines += ["", "[pushes.data]", *_pairs(data)]
    return "\n".join([*lines, ""])


def _pairs(values: Mapping[str, str]) -> Iterator[str]:
    for key, value in values.items():
        yield f"{key if re.fullmatch(r'[A-Za-z0-9_-]+', key) else json.dumps(key)} = {_toml_text(value)}"


def _toml_text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")

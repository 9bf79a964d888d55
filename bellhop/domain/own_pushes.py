"""A team's own pushes: what it wants in the pushes of each kind, provider, app and call type. Pure.

`PushTemplates` are read from a file when a worker starts (`bellhop.settings.pushes_file`). For each push they are
filled in with the call, the caller and the receiver, which gives `OwnFields`; `bellhop.domain.payloads` puts these into
the payload, within the provider's limit. A push for which the team wants nothing costs one look-up.

The web process does not read the file. It only keeps the custom fields that two settings allow, in the round itself.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from bellhop.domain.device import Provider
from bellhop.domain.payloads import OwnFields, PushTexts, words
from bellhop.domain.push import RINGING, PushKind, PushOptions
from bellhop.domain.round import Recipient, Round
from bellhop.domain.text_template import TextTemplate, Values
from bellhop.i18n.texts import Wording, broader_tags

IMAGE = "image"
"""The caller's picture, a URL. BELLHOP_PUSH_CALLER_FIELDS lists it like a custom field, but it is a field of the
user."""
TEXT_FIELDS = ("title", "body", "sound", "ringtone", "category", "thread")
"""The fields of a push that are templates, besides those in its data."""
_FIXED_VALUES = (
    *("call.id", "call.type", "call.cid", "call.name", "call.video"),
    *("caller.id", "caller.name", "receiver.id", "receiver.name", "receiver.language", "default.title", "default.body"),
)

ByLanguage = Mapping[str, TextTemplate]
"""The templates of one text, by language tag in lower case; "" is for every other language."""


def known_values(call_fields: Iterable[str], caller_fields: Iterable[str]) -> frozenset[str]:
    """Return the names of all values that a template may use, if these custom fields are allowed."""
    of_caller = ("caller.image" if name == IMAGE else f"caller.custom.{name}" for name in caller_fields)
    return frozenset([*_FIXED_VALUES, *(f"call.custom.{name}" for name in call_fields), *of_caller])


class PushScope(NamedTuple):
    """Which pushes a template is for. If `app` or `call_type` is empty, it is for all apps or all types of calls."""

    kind: PushKind
    provider: Provider
    app: str = ""
    call_type: str = ""


@dataclass(frozen=True, slots=True)
class PushTemplate:
    """What a team wants in some pushes. A field that it does not give stays as Bellhop makes it."""

    texts: Mapping[str, ByLanguage] = field(default_factory=dict)
    """The templates of TEXT_FIELDS, by field."""
    data: Mapping[str, TextTemplate] = field(default_factory=dict)
    """Further data, by key."""
    badge: int | None = None
    interruption_level: str = ""
    priority: str = ""
    """high or normal; empty for what Bellhop does."""
    analytics_label: str = ""

    def over(self, general: "PushTemplate") -> "PushTemplate":
        """Return a template with the fields of both. A field of `general` counts where this one does not give it."""
        return replace(
            self,
            texts={**general.texts, **self.texts},
            data={**general.data, **self.data},
            badge=general.badge if self.badge is None else self.badge,
            interruption_level=self.interruption_level or general.interruption_level,
            priority=self.priority or general.priority,
            analytics_label=self.analytics_label or general.analytics_label,
        )

    def options(self, usual: PushOptions) -> PushOptions:
        """Return how the provider treats the push; `usual` is what Bellhop does without this template."""
        urgent = self.priority == "high" if self.priority else usual.urgent
        return PushOptions(urgent, self.analytics_label or usual.analytics_label)

    def fill(self, kind: PushKind, round_: Round, recipient: Recipient, language: str, wording: Wording) -> OwnFields:
        """Fill in the templates for one receiver, whose language may be unknown (""). It never raises."""
        values = _values(round_, recipient, language, wording, words(kind, round_, wording))
        tags = (*broader_tags(language), *broader_tags(wording["language"]), "en", "")
        texts: dict[str, str] = {}
        data: dict[str, str] = {}
        failed: list[str] = []
        for name, by_language in self.texts.items():
            _render(_in_language(by_language, tags), values, texts, name, failed)
        for key, template in self.data.items():
            _render(template, values, data, key, failed)
        return OwnFields(
            **texts,
            badge=self.badge,
            interruption_level=self.interruption_level,
            data={key: value for key, value in data.items() if value},
            left_out=tuple(failed),
        )


NOTHING_OWN = PushTemplate()


class PushTemplates:
    """All templates of a team. `of` returns one for a push: it joins the fields of all templates for this push."""

    def __init__(self, templates: Mapping[PushScope, PushTemplate]) -> None:
        self._templates = templates
        self._found: dict[PushScope, PushTemplate | None] = {}
        self._apps = {scope.app for scope in templates}
        self._call_types = {scope.call_type for scope in templates}

    def of(self, kind: PushKind, provider: Provider, app: str, cid: str) -> PushTemplate | None:
        """Return the template for pushes of this kind to this app about a call of this type; None if there is none."""
        if not self._templates:
            return None
        call_type = cid.partition(":")[0]
        known_app = app if app in self._apps else ""
        scope = PushScope(kind, provider, known_app, call_type if call_type in self._call_types else "")
        if scope not in self._found:
            self._found[scope] = self._merged(scope)
        return self._found[scope]

    def _merged(self, scope: PushScope) -> PushTemplate | None:
        """Join the templates for this scope: each later one in `general` replaces fields of those before it."""
        general = [scope._replace(app="", call_type=""), scope._replace(call_type=""), scope._replace(app=""), scope]
        if scope.kind in RINGING:  # a second ring and an alert say what the ring says
            general = [*(wider._replace(kind=PushKind.RING) for wider in general), *general]
        found = [self._templates[wider] for wider in dict.fromkeys(general) if wider in self._templates]
        merged = NOTHING_OWN
        for template in found:
            merged = template.over(merged)
        return merged if found else None


NO_TEMPLATES = PushTemplates({})


def _values(
    round_: Round, recipient: Recipient, language: str, wording: Wording, default: PushTexts
) -> dict[str, dict[str, Any]]:
    """Return what templates may write. A custom field that this call does not have is empty."""
    call_type, _, call_id = round_.cid.partition(":")
    caller_name = round_.caller_name if round_.caller_id else wording["unknown_caller"]
    return {
        "call": {
            "id": call_id,
            "type": call_type,
            "cid": round_.cid,
            "name": round_.call_name,
            "video": "true" if round_.video else "",
            "custom": round_.call_fields,
        },
        "caller": {
            "id": round_.caller_id,
            "name": caller_name,
            "image": round_.caller_fields.get(IMAGE, ""),
            "custom": round_.caller_fields,
        },
        "receiver": {"id": recipient.id, "name": recipient.name, "language": language or wording["language"]},
        "default": default._asdict(),
    }


def _in_language(by_language: ByLanguage, tags: Sequence[str]) -> TextTemplate | None:
    return next((by_language[tag] for tag in tags if tag in by_language), None)


def _render(
    template: TextTemplate | None, values: Values, filled: dict[str, str], name: str, failed: list[str]
) -> None:
    if template is None:
        return
    try:
        filled[name] = template.render(values)
    except Exception:
        failed.append(name)

"""A missed-call e-mail: what it says, and the message as it goes over the wire.

Everything a user may have chosen (names, custom fields) is made harmless here: one line, no control or direction
characters, nothing that a header's encoding could be mistaken for.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy
from email.utils import format_datetime
from urllib.parse import quote
from zoneinfo import ZoneInfo

from bellhop.domain.round import Round
from bellhop.domain.unsubscribe_link import Links, Subscriber
from bellhop.domain.user import Contact
from bellhop.i18n.templates import Templates
from bellhop.i18n.texts import FIELD, Texts, Wording, fill

LISTED = 10
"""Calls that one e-mail lists, the latest; the others are counted."""
LONGEST_NAME = 100
LONGEST_VALUE = 255
BREAKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
DIRECTION_CONTROLS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
FIRST_STRONG_ISOLATE, POP_ISOLATE = "\u2068", "\u2069"


class WirePolicy(EmailPolicy):
    """SMTP's policy, but links in headers stay whole: a long one would be cut into encoded words."""

    def fold_binary(self, name: str, value: str) -> bytes:
        """Fold one header."""
        whole = f"{name}: {value}{self.linesep}"
        return whole.encode("ascii") if name.startswith("List-") else super().fold_binary(name, value)


WIRE = WirePolicy(linesep=SMTP.linesep)


@dataclass(frozen=True, slots=True)
class MissedCalls:
    """What one e-mail tells one user: the calls of one caller, the oldest first."""

    id: str
    contact: Contact
    calls: Sequence[Round]
    count: int
    """How many calls it stands for; of many, only the latest are in `calls`."""


@dataclass(frozen=True, slots=True)
class MessageBuilder:
    """What all e-mails of an installation have in common."""

    sender: str
    app: str
    texts: Texts
    templates: Templates
    links: Links
    call_url: str = ""

    @property
    def domain(self) -> str:
        """The sender's."""
        return self.sender.rpartition("@")[2]

    def message(self, letter: MissedCalls, now: datetime) -> EmailMessage:
        """Write the e-mail. Its Message-ID is the letter's, so that a repeated one is known for what it is."""
        latest = letter.calls[-1]
        recipient = latest.recipients[0]
        words = self.texts.wording(letter.contact.language or "")
        stop = self.links.link(Subscriber(latest.tenant, recipient.id, words["language"]))
        caller = plain(latest.caller_name) if latest.caller_id else words["unknown_caller"]
        isolated = isolate(caller, words["direction"])
        subject = _of_count(words, "subject", letter.count, isolated)
        calls = [self._call(call, letter.contact, words) for call in reversed(letter.calls)][:LISTED]
        earlier = letter.count - len(calls)
        values = {
            "subject": subject,
            "lead": _of_count(words, "lead", letter.count, isolated),
            "caller": caller,
            "count": letter.count,
            "calls": calls,
            "earlier": earlier,
            "earlier_text": fill(words["earlier"], count=earlier),
            "app": self.app,
            "why": fill(words["why"], app=self.app),
            "unsubscribe": stop,
            "words": words,
        }
        message = EmailMessage(policy=WIRE)
        message["From"] = Address(self.app, addr_spec=self.sender)
        local, _, domain = (letter.contact.email or "").rpartition("@")
        # Not as addr_spec, which wants dots where RFC 5322 has them; some addresses in use have others.
        message["To"] = Address(plain(recipient.name), local, domain)
        message["Subject"] = subject
        message["Date"] = format_datetime(now)
        message["Message-ID"] = f"<{letter.id}@{self.domain}>"
        message["List-Id"] = f"<missed-calls.{self.domain}>"
        message["List-Unsubscribe"] = f"<{stop}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        message["Auto-Submitted"] = "auto-generated"
        message["X-Auto-Response-Suppress"] = "All"
        message.set_content(self.templates.render("missed.txt", **values), cte="quoted-printable")
        html = self.templates.render("missed.html", **values)
        message.add_alternative(html, subtype="html", cte="quoted-printable")
        message["Content-Language"] = words["language"]
        return message

    def _call(self, call: Round, contact: Contact, words: Wording) -> dict[str, object]:
        zone = ZoneInfo(contact.time_zone or "UTC")
        call_type, _, call_id = call.cid.partition(":")
        facts = {
            "call_type": call_type,
            "call_id": call_id,
            "session_id": call.session_id,
            "user_id": call.recipients[0].id,
        }
        quoted = {name: quote(value, safe="") for name, value in facts.items()}
        return {
            "name": plain(call.call_name),
            "when": datetime.fromtimestamp(call.started_at / 1e6, zone).strftime(f"{words['when']} %Z"),
            "fields": [
                (words.get(FIELD + name) or name.replace("_", " "), plain(value, LONGEST_VALUE))
                for name, value in call.custom.items()
            ],
            "link": fill(self.call_url, **quoted),
        }


def plain(text: str, longest: int = LONGEST_NAME) -> str:
    """Make a text that a user chose fit for a header and a line."""
    text = BREAKS.sub(" ", DIRECTION_CONTROLS.sub("", text)).strip()
    # Python's email package decodes encoded words in what it is given, line ends included.
    text = text.replace("=?", "= ?")
    return text if len(text) <= longest else text[: longest - 1].rstrip("\u200d") + "…"


def isolate(name: str, direction: str) -> str:
    """Keep a name of the other direction from turning the text around it; other names stay as they are."""
    strong = {unicodedata.bidirectional(character) for character in name} & {"L", "R", "AL"}
    foreign = {"R", "AL"} if direction == "ltr" else {"L"}
    return f"{FIRST_STRONG_ISOLATE}{name}{POP_ISOLATE}" if strong & foreign else name


def _of_count(words: Wording, name: str, count: int, caller: str) -> str:
    return fill(words[f"{name}_one" if count == 1 else f"{name}_many"], caller=caller, count=count)

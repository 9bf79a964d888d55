"""A missed-call e-mail: what it says, and the message as it goes over the wire."""

import re
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
from bellhop.domain.unsubscribe_link import Subscriber, UnsubscribeLinks
from bellhop.domain.user import Contact
from bellhop.i18n.templates import Templates
from bellhop.i18n.texts import FIELD, Texts, Wording, fill
from worker.email.safe_text import isolate, safe_line, safe_name

LISTED = 10
"""An e-mail lists the latest calls, up to this many. It counts the others."""
LONGEST_VALUE = 255
NEW_HEADER = re.compile(rb"[\r\n](?![ \t\n])")
"""A line end after which the header does not go on."""


class WirePolicy(EmailPolicy):
    """SMTP's policy, except that links in headers are not split: a long one would become several encoded words."""

    def fold_binary(self, name: str, value: str) -> bytes:
        """Fold one header. Raises ValueError if it would become several."""
        if name.startswith("List-"):
            return f"{name}: {value}{self.linesep}".encode("ascii")
        folded = super().fold_binary(name, value)
        if NEW_HEADER.search(folded.removesuffix(b"\r\n")):
            raise ValueError(f"the header {name} has a line end")
        return folded


WIRE = WirePolicy(linesep=SMTP.linesep)


@dataclass(frozen=True, slots=True)
class MissedCalls:
    """What one e-mail tells one user: the calls of one caller, the oldest first."""

    id: str
    contact: Contact
    calls: Sequence[Round]
    count: int
    """How many calls were missed. If there are many, only the latest are in `calls`."""


@dataclass(frozen=True, slots=True)
class MessageBuilder:
    """Writes the e-mails of an installation."""

    sender: str
    app: str
    texts: Texts
    templates: Templates
    links: UnsubscribeLinks
    call_url: str = ""

    @property
    def domain(self) -> str:
        """The domain of the sender's address."""
        return self.sender.rpartition("@")[2]

    def build(self, missed: MissedCalls, now: datetime) -> EmailMessage:
        """Write the e-mail. A repeated e-mail has the same Message-ID, so that mail programs recognise it."""
        wording = self.texts.wording(missed.contact.language or "")
        values = self._values(missed, wording)
        message = EmailMessage(policy=WIRE)
        message["From"] = Address(self.app, addr_spec=self.sender)
        local, _, domain = (missed.contact.email or "").rpartition("@")
        # Not as addr_spec: that allows dots only where RFC 5322 does, and some addresses in use have others.
        message["To"] = Address(safe_name(missed.calls[-1].recipients[0].name), local, domain)
        message["Subject"] = values["subject"]
        message["Date"] = format_datetime(now)
        message["Message-ID"] = f"<{missed.id}@{self.domain}>"
        message["List-Id"] = f"<missed-calls.{self.domain}>"
        message["List-Unsubscribe"] = f"<{values['unsubscribe']}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        message["Auto-Submitted"] = "auto-generated"
        message["X-Auto-Response-Suppress"] = "All"
        message.set_content(self.templates.render("missed.txt", **values), cte="quoted-printable")
        html = self.templates.render("missed.html", **values)
        message.add_alternative(html, subtype="html", cte="quoted-printable")
        message["Content-Language"] = wording["language"]
        return message

    def _values(self, missed: MissedCalls, wording: Wording) -> dict[str, object]:
        """Return the values that the templates get."""
        latest = missed.calls[-1]
        caller = safe_name(latest.caller_name) if latest.caller_id else ""
        caller = caller or wording["unknown_caller"]
        isolated = isolate(caller, wording["direction"])
        calls = [self._call(call, missed.contact, wording) for call in reversed(missed.calls)][:LISTED]
        earlier = missed.count - len(calls)
        subscriber = Subscriber(latest.tenant, latest.recipients[0].id, wording["language"])
        return {
            "subject": _of_count(wording, "subject", missed.count, isolated),
            "lead": _of_count(wording, "lead", missed.count, isolated),
            "caller": caller,
            "count": missed.count,
            "calls": calls,
            "earlier": earlier,
            "earlier_text": fill(wording["earlier"], count=earlier),
            "app": self.app,
            "why": fill(wording["why"], app=self.app),
            "unsubscribe": self.links.link(subscriber, missed.contact.email or ""),
            "words": wording,
        }

    def _call(self, call: Round, contact: Contact, wording: Wording) -> dict[str, object]:
        """Return the values for one call in the list."""
        zone = ZoneInfo(contact.time_zone or "UTC")
        return {
            "name": safe_name(call.call_name),
            "when": datetime.fromtimestamp(call.started_at / 1e6, zone).strftime(f"{wording['when']} %Z"),
            "fields": [
                (wording.get(FIELD + name) or name.replace("_", " "), safe_line(value, LONGEST_VALUE))
                for name, value in call.custom.items()
            ],
            "link": self._call_link(call),
        }

    def _call_link(self, call: Round) -> str:
        call_type, _, call_id = call.cid.partition(":")
        facts = {
            "call_type": call_type,
            "call_id": call_id,
            "session_id": call.session_id,
            "user_id": call.recipients[0].id,
        }
        return fill(self.call_url, **{name: quote(value, safe="") for name, value in facts.items()})


def _of_count(wording: Wording, name: str, count: int, caller: str) -> str:
    return fill(wording[f"{name}_one" if count == 1 else f"{name}_many"], caller=caller, count=count)

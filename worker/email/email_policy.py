"""Whether a missed call makes an e-mail, where it goes, and whether it is tried again. Pure."""

from typing import Literal, NamedTuple

from bellhop.backoff import pause_s
from bellhop.clock import Micros, Seconds
from bellhop.domain.email_address import ENCODED_WORD, deliverable_address
from bellhop.domain.outcomes import MEANING, Outcome
from bellhop.domain.round import Recipient
from bellhop.domain.user import Contact, User, complete_contact
from bellhop.store.email_scripts import ClaimedEmail

Policy = Literal["always", "unpushed"]

FIRST_PAUSE_S, LONGEST_PAUSE_S = 60.0, 3600.0
"""The pause between attempts doubles each time, from the first to the longest."""
PAUSE_JITTER = (0.75, 1.25)
GIVE_UP_S = 24 * 3600
"""An e-mail is tried again until this long after its first attempt."""
MAX_UNKNOWN = 3
"""After this many attempts without an answer an e-mail is not repeated: each of them may have delivered it."""


class EmailRules(NamedTuple):
    """Which missed calls make an e-mail, and where it goes."""

    policy: Policy = "unpushed"
    stream_addresses: bool = False
    """Whether an address in Stream's custom data may be used."""

    def contact_of(self, user: User, recipient: Recipient) -> Contact:
        """Return where to send the e-mail. What the app has stored takes precedence over the event.

        A host without a dot gets no e-mail: that would be the mail server itself, or another machine beside it. An
        address with an encoded word gets none either: decoded, it could add headers to the e-mail.
        """
        email = (deliverable_address(recipient.email) or "") if self.stream_addresses else ""
        contact = complete_contact(user.contact, recipient.model_copy(update={"email": email}))
        stored = contact.email or ""
        is_usable = "." in stored.rpartition("@")[2] and ENCODED_WORD not in stored
        return contact if is_usable else contact.model_copy(update={"email": None})

    def reason_for_no_email(self, user: User, recipient: Recipient, missed_at: Micros, pushed: bool) -> Outcome | None:
        """Return why a missed call makes no e-mail, or None if it makes one. `pushed`: a push was accepted."""
        reasons = {
            Outcome.PUSH_ACCEPTED: self.policy == "unpushed" and pushed,
            Outcome.DEACTIVATED: user.deactivated,
            Outcome.CALLER_BLOCKED: user.blocks_caller,
            Outcome.MUTED: user.preferences.muted(missed_at) and not user.always_from_caller,
            Outcome.MAIL_OFF: not user.preferences.email,
        }
        if reason := next((reason for reason, applies in reasons.items() if applies), None):
            return reason
        if self.contact_of(user, recipient).email:
            return None
        return Outcome.STREAM_ADDRESS if deliverable_address(recipient.email) else Outcome.NO_ADDRESS


def next_wait_s(claimed: ClaimedEmail, outcome: Outcome) -> Seconds | None:
    """Return how long to wait after an attempt that ended with `outcome`. None if there is no other attempt."""
    if not MEANING[outcome].retry:
        return None
    wait_s = pause_s(claimed.attempts, FIRST_PAUSE_S, LONGEST_PAUSE_S, PAUSE_JITTER)
    unknown = claimed.unknown
    if outcome is Outcome.MAIL_UNKNOWN:
        unknown += 1
    too_late = claimed.age_s + wait_s > GIVE_UP_S
    return None if too_late or unknown >= MAX_UNKNOWN else wait_s

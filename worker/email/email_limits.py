"""Decides whether an address gets an e-mail about a missed call.

It gets none if it was unsubscribed, or if the address or the caller has reached its limit for this hour. What is
stored for an address holds for all its users: one person can give many users the same address.
"""

import time
from dataclasses import dataclass

from bellhop.domain.mailbox import MailboxHashes
from bellhop.domain.outcomes import Outcome
from bellhop.domain.round import Round
from bellhop.store.async_client import Store
from bellhop.store.email_scripts import HOUR_S, count_email
from bellhop.store.keys import emails_by_key, emails_to_key, unsubscribed_key
from bellhop.store.retry import until_redis_answers
from bellhop.telemetry.turned_away import TURNED_AWAY


@dataclass(frozen=True, slots=True)
class EmailLimits:
    """The limits of an installation."""

    store: Store
    mailboxes: MailboxHashes
    per_address: int
    """E-mails to one address in an hour."""
    per_caller: int
    """E-mails in an hour about calls of one caller."""

    async def refusal(self, email_id: str, latest: Round, address: str, *, counts: bool) -> Outcome | None:
        """Return why an e-mail about the call `latest` may not go to this address; None if it may.

        `counts`: count it. The attempts after the first one do not count again.
        """
        hashes = self.mailboxes.of(latest.tenant, address)
        if await self._is_unsubscribed(hashes):
            return Outcome.UNSUBSCRIBED
        if not counts:
            return None
        hour_s = int(time.time() // HOUR_S) * HOUR_S
        # The caller comes first: refused e-mails about this caller must not use up the address for other callers.
        by_caller = emails_by_key(latest.tenant, latest.caller_id, hour_s)
        if latest.caller_id and not await self._count(by_caller, email_id, self.per_caller):
            TURNED_AWAY.add(Outcome.MAIL_CALLER_LIMIT)
            return Outcome.MAIL_CALLER_LIMIT
        if not await self._count(emails_to_key(hashes[0], hour_s), email_id, self.per_address):
            TURNED_AWAY.add(Outcome.MAIL_ADDRESS_LIMIT)
            return Outcome.MAIL_ADDRESS_LIMIT
        return None

    async def _is_unsubscribed(self, hashes: list[str]) -> bool:
        """`hashes`: of the address, one by each secret.

        If one of them is stored, all are, each with all of them: so an unsubscribed address stays so when an old secret
        is removed, and the page of any e-mail to it can take that back.
        """
        keys = [unsubscribed_key(digest) for digest in hashes]
        found = await until_redis_answers(lambda: self.store.together(*(("EXISTS", key) for key in keys)))
        if any(found) and len(hashes) > 1:
            marks = [("SET", key, " ".join(hashes)) for key in keys]
            await until_redis_answers(lambda: self.store.together(*marks))
        return any(found)

    async def _count(self, key: str, email_id: str, most: int) -> bool:
        return bool(await until_redis_answers(lambda: self.store.script(*count_email(key, email_id, most))))

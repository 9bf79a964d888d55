"""The names of Bellhop's queues and jobs, and how RQ keeps and retries each job. Pure."""

from typing import Final, Literal

RINGS: Final = "bellhop-rings"
NOTICES: Final = "bellhop-notices"
MAIL: Final = "bellhop-mail"
STREAM: Final = "bellhop-stream"
"""Jobs that send something to Stream: a decline, or events for the caller's app. Workers serve this queue only if one
of the two is switched on."""
EVENTS: Final = "bellhop-events"
"""Jobs that send events to the team's backend. Workers serve this queue only if the settings have an endpoint."""
NEEDED = (RINGS, NOTICES)
"""Without a worker for these queues, no phone rings."""
QUEUES = (*NEEDED, MAIL, STREAM, EVENTS)
OLD_NAMES = {"rings": RINGS, "notices": NOTICES, "mail": MAIL}
"""What older versions call the queues. Workers move our jobs from there, for one version."""

RoundJobName = Literal["worker.jobs.ring", "worker.jobs.notify", "worker.jobs.notice"]
"""The jobs about one round."""
SettleJobName = Literal["worker.jobs.settle"]
"""The job about one call."""
MailJobName = Literal["worker.jobs.mail"]
"""The job about one e-mail."""
RejectJobName = Literal["worker.jobs.reject"]
"""The job about one user's decline."""
OutboxJobName = Literal["worker.jobs.tell_caller", "worker.jobs.send_events"]
"""The jobs about the announcements that wait for one destination."""

RING_JOB: Final = "worker.jobs.ring"
NOTIFY_JOB: Final = "worker.jobs.notify"
SETTLE_JOB: Final = "worker.jobs.settle"
NOTICE_JOB: Final = "worker.jobs.notice"
MAIL_JOB: Final = "worker.jobs.mail"
REJECT_JOB: Final = "worker.jobs.reject"
TELL_CALLER_JOB: Final = "worker.jobs.tell_caller"
SEND_EVENTS_JOB: Final = "worker.jobs.send_events"

QUEUE_OF: dict[str, str] = {
    RING_JOB: RINGS,
    NOTIFY_JOB: NOTICES,
    SETTLE_JOB: NOTICES,
    NOTICE_JOB: NOTICES,
    MAIL_JOB: MAIL,
    REJECT_JOB: STREAM,
    TELL_CALLER_JOB: STREAM,
    SEND_EVENTS_JOB: EVENTS,
}

JOB_TIMEOUT_S = 300
"""RQ's own limit. It is longer than any ring may last (180 s), and applies only if Bellhop's own limits fail."""
RESULT_TTL_S = 60
"""How long RQ keeps a finished job. It holds user ids and names, so not for long."""
FAILURE_TTL_S = 24 * 3600
"""How long RQ keeps a failed job."""

FOREIGN_FAILURE_TTL_S = 365 * 24 * 3600
"""How long RQ keeps a failed job of another application if the job does not say it. RQ's own default is the same."""
AGAIN_WITHIN_S = 2 * 3600
"""How long after it was queued a job without a deadline is queued again if a worker of another application took it."""

RETRIED_AFTER_S: dict[str, tuple[int, ...]] = {
    **dict.fromkeys((NOTICE_JOB, NOTIFY_JOB, MAIL_JOB), (60, 300, 1800)),
    SEND_EVENTS_JOB: (60, 300, 1800, *[3600] * 24),
    TELL_CALLER_JOB: (1, 5, 20),
}
"""How long after each failure a job is run again (RQ's Retry).

All retries of notices and e-mails happen within the two hours for which Redis knows which phones already have their
notice. This helps when Redis is away for longer than a job may take; what a provider or mail server refused for now is
repeated inside the job.
If an endpoint refuses an event, other jobs repeat it for a day. So a job that sends events fails only by a bug. It is
run again for a day too: perhaps no later event of its call queues another job. An announcement to the caller's app is
useful only while the call rings.
A ring and a decline are not retried: they repeat inside their jobs, or would be too late. The watchdog queues settle
jobs again.
"""

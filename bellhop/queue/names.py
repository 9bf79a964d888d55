"""The names of Bellhop's queues and jobs, and how RQ keeps and retries each job. Pure."""

RINGS = "rings"

NOTICES = "notices"

MAIL = "mail"

QUEUES = (RINGS, NOTICES, MAIL)

RING_JOB = "worker.jobs.ring"

NOTIFY_JOB = "worker.jobs.notify"

SETTLE_JOB = "worker.jobs.settle"

NOTICE_JOB = "worker.jobs.notice"

MAIL_JOB = "worker.jobs.mail"

JOB_TIMEOUT_S = 300
"""Longer than any ring may last (180 s); RQ's own limit, only a net under ours."""

RESULT_TTL_S = 60

FAILURE_TTL_S = 24 * 3600
"""How long RQ keeps a finished and a failed job. Both hold user ids and names, so not for long."""

RETRIED_AFTER_S = dict.fromkeys((NOTICE_JOB, NOTIFY_JOB, MAIL_JOB), (60, 300, 1800))
"""How long after each failure a job is run again (RQ's Retry): within the two hours for which it is known which phones
have their notice already. A ring is repeated inside its job, or too late; the watchdog queues what settles anew. What a
provider or a mail server refused for now is repeated by the job itself: this is for a Redis that is away for longer
than a job may take."""

QUEUE_OF = {RING_JOB: RINGS, NOTIFY_JOB: NOTICES, SETTLE_JOB: NOTICES, NOTICE_JOB: NOTICES, MAIL_JOB: MAIL}

"""This version writes and answers in the formats of the older version: the same names and the same types.

The files in `frozen` were made by running the same scenario with the commit `make_fixtures.OLD`. Never change them to
make a test pass: a process of the older version must be able to read what this version writes.
"""

import json
import re

import pytest
import pytest_asyncio
from make_fixtures import FROZEN
from two_versions import NEW
from upgrade_scenario import written_by
from written_formats import formats_of

pytestmark = pytest.mark.timeout(300)

EXPLAINED = "http/paths//v1/calls/{cid}/get/responses"
NEW_SINCE: dict[str, str] = {
    "command_line/commands/commands/migrate": "the move to another Redis",
    "command_line/commands/commands/rq": "RQ's own commands, also for one partition of a Redis Cluster",
    "command_line/settings/`BELLHOP_REDIS_FORMER_URL`": "the move to another Redis",
    "command_line/settings/`BELLHOP_REDIS_PARTITIONS`": "Redis Cluster, which an older version cannot use",
    **dict.fromkeys(
        (
            *(f"command_line/commands/commands/devices/commands/add/params/--{name}" for name in ("p256dh", "auth")),
            "command_line/commands/commands/web-push",
            *(
                f"command_line/settings/`BELLHOP_WEB_PUSH_{name}`"
                for name in (
                    *("APP", "APPS", "PUBLIC_KEY", "PRIVATE_KEY", "SUBJECT"),
                    *("HOSTS", "ALLOWED_NETWORKS", "CA_FILE", "PROXY"),
                )
            ),
            *(
                f"http/paths//v1/users/{{user_id}}/devices/{place}/properties/{name}"
                for place in (
                    "get/responses/200/content/application/json/schema/properties/devices/items",
                    "post/responses/200/content/application/json/schema",
                )
                for name in ("expires_at", "provider/enum/webpush")
            ),
            "http/paths//v1/users/{user_id}/devices/post/requestBody/content/application/json/schema/oneOf/2",
            "http/paths//v1/web-push/key",
            "command_line/settings/`BELLHOP_WEB_ORIGINS`",
        ),
        "Web Push; an older version leaves out devices of a provider that it does not know",
    ),
    **dict.fromkeys(
        (
            *(
                f"http/paths//v1/users/{{user_id}}/devices/{place}/properties/rings"
                for place in (
                    "get/responses/200/content/application/json/schema/properties/devices/items",
                    "post/requestBody/content/application/json/schema/oneOf/0",
                    "post/responses/200/content/application/json/schema",
                )
            ),
            "command_line/commands/commands/devices/commands/add/params/--rings",
            "command_line/settings/`BELLHOP_ALERT_RING_EVERY`",
        ),
        "alert rings; an older worker reads such a device as a token for notices",
    ),
    **{
        f"http/paths//v1/users/{{user_id}}/devices/{place}/properties/disabled_at": "only of a disabled phone; an "
        "older web process does not say it"
        for place in (
            "get/responses/200/content/application/json/schema/properties/devices/items",
            "post/responses/200/content/application/json/schema",
        )
    },
    **{
        f"command_line/settings/`BELLHOP_UNUSED_{what}_DAYS`": "off by default; an older worker removes nothing"
        for what in ("DEVICE", "CONTACT")
    },
    "redis/bellhop:person:default:<user>/holds/written_at": "an older version reads other fields, by their names",
    "command_line/settings/`BELLHOP_API_PAGE`": "a page for developers; off by default",
    "redis/bellhop:webhook:<hex>/holds/value/text": "it counts repeats; an older version checks that it exists",
    **{
        f"redis/bellhop:rings-{key}": "rings are counted; an older process counts none"
        for key in ("by:default:<user>:<minute>", "of:default:<cid>:<minute>", "to:default:<user>:<minute>")
    },
    "redis/bellhop:rings-open:default:<cid>": "rings are counted; an older process counts none",
    "metrics/types/# TYPE bellhop_rings_turned_away_total counter": "no bound turned rings away",
    **{
        f"command_line/words/{word}": "no bound turned rings away"
        for word in ("caller_limit", "call_limit", "open_limit", "callee_limit", "too_many_members")
    },
    **{
        f"command_line/settings/`BELLHOP_{name}`": "bounds; the defaults are above what an older version was used for"
        for name in (
            "RING_MEMBERS",
            "OPEN_ROUNDS_PER_CALL",
            *(f"RINGS_PER_{of}" for of in ("CALLER", "CALL", "CALLEE")),
        )
    },
    **{
        f"http/paths//v1/users/{{user_id}}/preferences/{place}/content/application/json/schema/properties/{name}": (
            "a wish that an older version does not know: it is left out unless it is set"
        )
        for place in ("get/responses/200", "put/requestBody", "put/responses/200")
        for name in ("always_from", "never_from", "quiet_hours/anyOf/0/properties/days")
    },
    "command_line/words/caller_blocked": "an older version reads no lists of blocked callers",
    "http/paths//v1/calls/{cid}/live": "an older version has no live streams",
    **{
        f"http/problem/properties/type/enum/urn:bellhop:problem:{word}": "an older version has no live streams"
        for word in (
            *("not-in-call", "no-such-call", "too-many-streams", "live-off", "live-not-served", "streams-full"),
        )
    },
    **{
        f"metrics/types/# TYPE bellhop_live_{name}": "an older version has no live streams"
        for name in ("streams gauge", "streams_ended_total counter", "messages_total counter")
    },
    "metrics/shown/bellhop_live_streams": "an older version has no live streams",
    **{
        f"command_line/settings/`BELLHOP_LIVE{name}`": "an older version has no live streams"
        for name in ("", "_STREAMS", "_STREAMS_PER_CALL", "_STREAMS_PER_USER", "_STREAM_S")
    },
    "command_line/commands/commands/events": "an older version sends no events to a team's backend",
    **{
        f"metrics/types/# TYPE bellhop_event_{name} gauge": "an older version sends no events to a team's backend"
        for name in ("dead_letters", "endpoint_away", "requests_in_flight")
    },
    **{
        f"command_line/settings/`BELLHOP_EVENT_{name}`": "an older version sends no events to a team's backend"
        for name in ("ENDPOINTS", "SECRETS", "ALLOWED_NETWORKS", "CA_FILE")
    },
    "command_line/settings/`BELLHOP_WEBHOOK_MAX_BYTES`": "an older version takes 1 MiB",
    "command_line/settings/`BELLHOP_WEBHOOK_GZIP_RATIO`": "an older version inflates to 4 MiB",
    "command_line/settings/`BELLHOP_WEBHOOK_FAILURES_PER_MINUTE`": "an older version slows nobody",
    "command_line/settings/`BELLHOP_WEBHOOK_REPEATS_PER_MINUTE`": "an older version looks at each repeat",
    "command_line/settings/`BELLHOP_WEBHOOK_UNREADABLE_KEPT`": "each reason has a list of its own",
    "command_line/settings/`BELLHOP_WEBHOOK_MAX_AGE_S`": "older events are dropped",
    "redis/bellhop:calls-people:default": "names for the search; an older version neither writes nor reads it",
    "redis/bellhop:last-hour:<s>": "rings and outcomes for the console; an older version neither writes nor reads it",
    "redis/bellhop:web-processes": "web processes and their clocks; an older version neither writes nor reads it",
    "redis/bellhop:last-check": "what the last check found; an older version neither writes nor reads it",
    "redis/bellhop:last-webhook": "when the last webhook came; an older version neither writes nor reads it",
    "logs/web web_started/always/redis": "which Redis and database it uses",
    "logs/worker worker_started/always/redis": "the same",
    **{
        path: "of the workers' processes"
        for name, kind in (
            ("process_cpu_seconds_total", "counter"),
            ("process_resident_memory_bytes", "gauge"),
            ("process_virtual_memory_bytes", "gauge"),
            ("process_start_time_seconds", "gauge"),
            ("process_open_fds", "gauge"),
            ("process_max_fds", "gauge"),
        )
        for path in (f"metrics/types/# TYPE {name} {kind}", f'metrics/shown/{name}{{worker="<worker>"}}')
    },
    "command_line/commands/commands/scripts": "a new command",
    "metrics/types/# TYPE bellhop_redis_slots gauge": "of the masters of a Redis Cluster",
    "metrics/types/# TYPE bellhop_redis_partitions gauge": "of the masters of a Redis Cluster",
    "metrics/types/# TYPE bellhop_redis_partitions_away gauge": "of the masters of a Redis Cluster",
    "metrics/types/# TYPE bellhop_build_info gauge": "the version of the web process",
    "metrics/types/# TYPE bellhop_certificate_expiry_timestamp_seconds gauge": "beside the days, which stay",
    'metrics/shown/bellhop_build_info{version="0.1.0"}': "the version of the web process",
    "command_line/commands/commands/check/params/--strict": "exits with 1 for warnings, too",
    "command_line/commands/commands/check/params/--json": "prints one document",
    "redis/bellhop:turned-away:<s>": "what was turned away; an older version neither writes nor reads it",
    **{
        f"redis/bellhop:workers:{name}": "workers of an older version all do what this one does in its turn"
        for name in ("turn", "neighbours:<uuid>:<s>")
    },
    **{
        f"command_line/words/{word}": "a new outcome or standing"
        for word in ("deactivated", "removed", "still_rings", "worker_died")
    },
    "http/problem/properties/type/enum/urn:bellhop:problem:revoked-token": "tokens that Stream revoked are refused",
    **{
        f"jobs/worker.jobs.notice/{often}{name}": reason
        for often in ("", "(not always)/")
        for name, reason in (
            ("still_rings", "an older worker sends the whole notice at once, as before"),
            ("left_over", "an older worker sends what the fence has not marked as sent"),
        )
    },
    "logs/worker pushed/also/still_rings": "a new outcome",
    'metrics/shown/bellhop_pushes_total{app="example-calls",kind="missed",outcome="still_rings",provider="fcm"}': "new",
    'metrics/stored/["bellhop_pushes_total", "fcm", "example-calls", "missed", "still_rings"]': "a new outcome",
    "trail/2 skipped o/still_rings": "an older version shows a word that it has no sentence for",
    **{
        f"redis/bellhop:call:default:<cid>/holds/at:<µs>:36:<uuid>:{name}": "older versions read the plain fields"
        for name in (
            *(f"{letter}:<user>" for letter in "bdtwx"),
            *("ended", "ended:<uuid>", "m:<uuid>:<user>", "q:<uuid>:<user>"),
        )
    },
    "command_line/commands/commands/explain/params/--ask": "asks Stream",
    "command_line/commands/commands/explain/params/--since": "explains the calls of a user",
    "command_line/commands/commands/calls": "a new command",
    **{
        f"command_line/commands/commands/{command}/params/--json": "prints one document"
        for command in ("devices/commands/import-stream", "devices/commands/list", "outcomes", "replay", "settings")
    },
    "command_line/commands/commands/devices/commands/import-stream/params/--environment": "Apple's environment",
    "logs/worker foreign_job": "tells once of jobs of other applications, beside job_failed",
    "command_line/settings/`BELLHOP_STREAM_QUESTIONS_PER_S`": "0 switches the questions to Stream off",
    "logs/worker stream_asked": "a question to Stream",
    "logs/worker stream_not_asked": "a question to Stream",
    "metrics/types/# TYPE bellhop_stream_questions_total counter": "questions to Stream",
    **{
        path: "questions to Stream"
        for kind in ("missed", "ring")
        for outcome in ("answered", "unknown_call", "no_answer", "refused", "over_budget")
        for path in (
            f'metrics/shown/bellhop_stream_questions_total{{kind="{kind}",outcome="{outcome}"}}',
            f'metrics/stored/["bellhop_stream_questions_total", "{kind}", "{outcome}"]',
        )
    },
    "command_line/settings/`BELLHOP_CONSOLE_PROXY_SECRET`": "without it, the header counts as before in this version",
    "command_line/settings/`BELLHOP_WEB_EXPLAIN_LINES`": "what one page may cost",
    "http/problem/properties/type/enum/urn:bellhop:problem:busy": "a long trail is explained by one process at a time",
    **{
        f"command_line/settings/`BELLHOP_MAIL_{name}`": "who gets e-mails, and how many"
        for name in ("STREAM_ADDRESSES", "PER_ADDRESS_HOUR", "PER_CALLER_HOUR")
    },
    **{
        f"command_line/words/{word}": "a new outcome"
        for word in ("stream_address", "unsubscribed", "mail_address_limit", "mail_caller_limit")
    },
    "redis/bellhop:mails-by:default:<user>:<s>": "it expires after two hours",
    "redis/bellhop:mails-to:<hex>:<s>": "the same",
    "redis/bellhop:mailed:<hex>": "which e-mail has a missed call; an older version reads the mark in the round",
    "redis/bellhop:unsubscribed:<hex>": "an older version asks the user's preference, which is set too",
    **{
        f"command_line/settings/`BELLHOP_{name}`": "the console's and the API's rules"
        for name in ("CONSOLE_IDLE_S", "API_AUDIENCES")
    },
    "http/problem/properties/type/enum/urn:bellhop:problem:wrong-audience": "a token for another service is refused",
    "logs/web request_refused": "refusals left no line",
    "logs/web setting_soon_refused": "warns of what the next version refuses",
    "metrics/types/# TYPE bellhop_console_logins_total counter": "logins and logouts were not counted",
    "metrics/types/# TYPE bellhop_requests_refused_total counter": "refusals were not counted",
    **{
        path: "a refusal"
        for reason in ("bad-receipt", "no-one", "no-token")
        for path in (
            f'metrics/shown/bellhop_requests_refused_total{{part="v1",reason="{reason}"}}',
            f'metrics/stored/["bellhop_requests_refused_total", "v1", "{reason}"]',
        )
    },
    "redis/bellhop:call:default:<cid>/holds/asked:<uuid>": "an older worker reads a stamp that it has no use for",
    "redis/bellhop:call:default:<cid>/holds/settle_job": "the same; the watchdog looks at a call whose worker left it",
    "redis/bellhop:stream-clock:default": "an older version takes the clocks of Redis and Stream for equal",
    "redis/bellhop:told:default:<cid>": "events that nothing is done for; an older version neither writes nor reads it",
    "logs/web webhook/always/cid": "finds the line of a call that was never rung",
    "redis/bellhop:missed-seen:default": "an older worker does not wait for call.missed",
    "redis/bellhop:question:default:<cid>": "it expires after two seconds",
    "redis/bellhop:questions": "the budget of questions; it expires after seconds",
    "pushes/fcm call.missed/data/id": "the tag of the notification; an app that does not know it ignores it",
    "pushes/fcm call.notification/data/id": "the same",
    "trail/2 waited y": "why credentials are refused; an older version shows it in brackets, or not at all",
    **{
        f"{EXPLAINED}/{status}/content/application/json/schema/properties/rounds/items/{path}": "names, times, reasons"
        for status in (200, 404)
        for where, names in (
            ("", ("caller_name", "started_time", "until_time")),
            ("properties/people/items/", ("name", "reason")),
            ("properties/people/items/properties/deliveries/items/properties/attempts/items/", ("time",)),
            ("properties/timeline/items/", ("time",)),
        )
        for name in names
        for path in (f"{where}properties/{name}", f"{where}required/{name}")
    },
    **{
        f"trail/2 {milestone}/{often}{letter}": reason
        for often in ("", "(not always)/")
        for milestone, letter, reason in (
            ("skipped", "y", "the facts behind it; an older version shows them in brackets, or not at all"),
            ("finished", "y", "why a ring is given up; an older version shows it in brackets, or not at all"),
            ("received", "B", "the names of users; an older version does not read them"),
            ("received", "A", "how far the clocks differ, if they do; an older version does not read it"),
            ("repeated", "A", "the same"),
        )
    },
    "trail/2 asked": "an older version shows that it has no sentence for the line",
    "trail/2 asked k": "the same",
    "trail/2 asked o": "the same",
    "redis/bellhop:tokens:dying-users:apns:com.example.calls:<window>": "the brake counts users; an older version "
    "counts the tokens, which are written as before",
    "metrics/types/# TYPE bellhop_lost_records_total counter": "records that Redis lost, and a worker restored",
    "metrics/types/# TYPE bellhop_credentials_refused gauge": "an alert of its own for revoked credentials",
    'metrics/shown/bellhop_credentials_refused{app="com.example.calls",provider="apns"}': "the same",
    'metrics/shown/bellhop_credentials_refused{app="example-calls",provider="fcm"}': "the same",
    **{
        f"command_line/settings/`BELLHOP_{name}`": "a team's own pushes; an older worker sends Bellhop's"
        for name in ("PUSHES_FILE", "PUSH_CALL_FIELDS", "PUSH_CALLER_FIELDS")
    },
    **{
        f"command_line/settings/`BELLHOP_PUSH_{name}_STARTED`": "off by default; an older worker leaves these pushes"
        for name in ("LIVE", "SESSION")
    },
    **{
        f"pushes/fcm call.{kind}/data/{key}": "the text; an app that does not know it writes its own"
        for kind in ("missed", "notification")
        for key in ("title", "body")
    },
    **{
        f"http/paths//v1/users/{{user_id}}/devices/{part}/properties/platform": "which phone has a Firebase token"
        for part in (
            "post/requestBody/content/application/json/schema/oneOf/1",
            "post/responses/200/content/application/json/schema",
            "get/responses/200/content/application/json/schema/properties/devices/items",
        )
    },
    "command_line/settings/`BELLHOP_STREAM_IOS_PROVIDERS`": "an older version takes all Firebase tokens for Android's",
    "command_line/commands/commands/devices/commands/add/params/--platform": "the same",
    "command_line/commands/commands/import-stream-templates": "reads Stream's templates",
    "command_line/commands/commands/payload": "prints what a push would carry",
    "command_line/settings/`BELLHOP_TELL_CALLER`": "off by default",
    "metrics/types/# TYPE bellhop_announcements_total counter": "announcements, which are off by default",
    "metrics/types/# TYPE bellhop_announcing_seconds histogram": "the same",
    "command_line/settings/`BELLHOP_SECOND_WAY`": "off by default",
    "command_line/settings/`BELLHOP_RINGS_WAITING_PER_APP`": "one Stream app alone has no such bound",
    "metrics/types/# TYPE bellhop_jobs_waiting_for_turn gauge": "jobs of one Stream app alone wait for no turn",
    "command_line/settings/`BELLHOP_SECOND_WAY_AFTER`": "the same",
    "command_line/words/reported": "why a second ring was not sent",
    "command_line/words/redis_away": "why a push waits; an older version says that a newer one wrote it",
    "command_line/words/no_apns_key": "a new outcome; an older version says that a newer one wrote it",
    "command_line/settings/`BELLHOP_DECLINES`": "without a receipt secret it has no effect",
    **{
        path: "a queue of its own: an older worker does not know its jobs"
        for queue in ("stream", "events")
        for path in (
            f'metrics/shown/bellhop_workers{{queue="bellhop-{queue}"}}',
            *(
                f'metrics/shown/bellhop_queue_jobs{{queue="bellhop-{queue}",state="{state}"}}'
                for state in ("queued", "started", "scheduled", "failed")
            ),
        )
    },
    **{
        f"http/paths//v1/receipts/post/requestBody/content/application/json/schema/properties/{name}": (
            "an older version reads a receipt without it, as the report that the phone rang"
        )
        for name in ("event", "reason", "at", "health")
    },
    "http/paths//v1/receipts/post/responses/429": "one receipt may be sent 60 times",
    **{
        f"http/problem/properties/type/enum/urn:bellhop:problem:{word}": "receipts expire, and have a limit"
        for word in ("expired-receipt", "too-many-reports")
    },
    **{
        f"metrics/types/# TYPE bellhop_{name}_total counter": "phones reported only that they rang"
        for name in ("phone_reports", "rejections")
    },
    **{
        f"redis/bellhop:round:default:<cid>:<µs>/holds/{field}:<hex>": "an older version does not read it"
        for field in ("reports", "to")
    },
    "redis/rq:queues/holds/member/rq:queue:bellhop-stream": "RQ's list of queues",
    "redis/rq:workers:bellhop-stream": "the same, for the workers of a queue",
    "redis/rq:job:<ring job>/holds/deadline": "an older worker runs the job as before",
    **{
        f"http/paths//v1/users/{{user_id}}/devices/post/requestBody/content/application/json/schema/oneOf/{number}/"
        "properties/health": "the phone's settings; an older web process refuses a body with it"
        for number in (0, 1)
    },
    "redis/bellhop:phones:default:<user>": "what phones report; an older version neither writes nor reads it",
    **dict.fromkeys(
        (
            *(f"http/paths//v1/users/{{user_id}}/calls{path}" for path in ("", "/seen")),
            *(f"http/problem/properties/type/enum/urn:bellhop:problem:{word}" for word in ("bad-query", "calls-off")),
            *(f"command_line/settings/`BELLHOP_{name}`" for name in ("USER_CALLS", "BADGE")),
        ),
        "a user's own list of calls; an older version has none, and its workers note no missed calls",
    ),
    **{
        f"command_line/settings/`BELLHOP_CONSOLE_{name}`": "rights in the console; an older version knows one password"
        for name in ("LOGINS", "GROUPS", "GROUPS_HEADER")
    },
    **dict.fromkeys(
        ("redis/bellhop:console-audit:default", "logs/web console_audit"),
        "who looks at whom in the console; an older version notes nothing",
    ),
    **dict.fromkeys(
        (
            "command_line/words/disabled",
            *(f"command_line/commands/commands/devices/commands/{name}" for name in ("disable", "enable")),
        ),
        "phones that an operator disabled; an older worker rings them",
    ),
    "http/paths//v1/users/{user_id}/reachability": "whether a user can be rung",
    "http/paths//v1/users/{user_id}/test-ring": "a test; an older version answers 404",
    "http/paths//v1/users/{user_id}/test-ring/{test_id}": "the same",
    "http/problem/properties/type/enum/urn:bellhop:problem:no-such-test": "the same",
    "metrics/types/# TYPE bellhop_test_rings_total counter": "the same",
    "command_line/commands/commands/reachability": "a new command",
    **dict.fromkeys(("command_line/commands/commands/export", "command_line/commands/commands/forget"), "new commands"),
    "http/paths//v1/users/{user_id}/delete": "a person can be forgotten",
    "http/paths//v1/users/{user_id}/export": "all that is kept of a person",
    "http/problem/properties/type/enum/urn:bellhop:problem:export-runs": "an older version has no export",
    "metrics/types/# TYPE bellhop_phones_demoted_total counter": "pushes that came with normal priority",
    "redis/rq:worker:<worker>/holds/renewed_ms": "without it, every job of a dead worker had newly begun",
}
"""Formats that were added since, as "subject/path", with the reason. An older version must work without them."""
GONE_SINCE: dict[str, str] = {
    **{
        f"command_line/commands/commands/{command}/params": "it had no options"
        for command in ("check", "outcomes", "settings")
    },
    "command_line/settings/`BELLHOP_FCM_WITHOUT_VIDEO`": "it has no effect; bellhop/settings/removed.py accepts it",
    **{
        f"redis/rq:job:<{job} job>/holds/people": "a worker reads the users itself when a job does not name them"
        for job in ("ring", "notify", "notice")
    },
}
"""Formats that need not be written any more, in the same form. An older version must work without them."""
RENAMED_SINCE = {
    r"\bbellhop-(rings|notices|mail)\b": r"\1",  # the queues: workers of this version serve both names
    r', "process": \{"process_[^}]*\}': "",  # of a worker's status; an older version does not read it
    r', "machine": "text", "pid": "number", "version": "text"': "",  # the same
    r"bellhop:unreadable:[^\"]+": "bellhop:unreadable",  # nothing but people reads it
    # In the answer of GET /v1/calls/<cid>: names, times in RFC 3339 and short reasons, beside what was there.
    r'"caller_name": "text", (?="headline": )|"started_time": "[^"]*", |, "until_time": "[^"]*"': "",
    r'"name": "text", (?="next": )|"reason": "[^"]*", (?="standing": )|"time": "[^"]*", (?="tone": )': "",
}
"""What has another name now, as a regular expression, and its name in the frozen formats. All else must be the same."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def formats(tmp_path_factory):
    async with written_by(NEW, tmp_path_factory.mktemp("formats")) as writer:
        return formats_of(writer)


def paths(value, where=""):
    """Every path of a JSON document with the value at its end."""
    if isinstance(value, dict) and value:
        return {path: leaf for name, inner in value.items() for path, leaf in paths(inner, f"{where}/{name}").items()}
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return {f"{where}/{item}": "" for item in value} or {where: "[]"}
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        inside = [paths(item, f"{where}/{number}") for number, item in enumerate(value)]
        return {path: leaf for part in inside for path, leaf in part.items()}
    return {where: json.dumps(value, sort_keys=True, ensure_ascii=False)}


@pytest.mark.parametrize("subject", sorted(path.stem for path in FROZEN.glob("*.json")))
@pytest.mark.asyncio(loop_scope="module")
async def test_the_form_is_what_it_was(formats, subject):
    frozen = paths(json.loads((FROZEN / f"{subject}.json").read_text()), subject)
    written = paths(json.loads(with_old_names(json.dumps(formats[subject]))), subject)
    gone = [f"gone: {path} {frozen[path]}" for path in frozen.keys() - written.keys() if not excused(path, GONE_SINCE)]
    new = [f"new: {path} {written[path]}" for path in written.keys() - frozen.keys() if not excused(path, NEW_SINCE)]
    both = ((path, frozen[path], written[path]) for path in frozen.keys() & written.keys())
    changed = [f"changed: {path} was {before} and is {now}" for path, before, now in both if before != now]
    assert not (different := sorted(gone + new + changed)), "\n".join(different)


def with_old_names(text):
    for name, old in RENAMED_SINCE.items():
        text = re.sub(name, old, text)
    return text


def excused(path, reasons):
    return any(path == known or path.startswith(f"{known}/") for known in reasons)


def test_every_subject_is_frozen(formats):
    assert sorted(formats) == sorted(path.stem for path in FROZEN.glob("*.json"))

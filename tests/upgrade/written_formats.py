"""Lists the formats that a version wrote in one run of `upgrade_scenario`: names and types.

Ids, user ids and stamps are replaced by <user>, <cid>, <µs> and so on. A value is described by its JSON type. A short
value that only has known words and such replacements, such as a status, is kept as it is.
"""

import json
import re

from two_versions import NEW, run_python

FORMS = (
    (r"old-host-[0-9a-f]{8}", "<worker>"),
    (r"default:call-[a-z0-9-]+", "<cid>"),
    (r"user-[a-z]+", "<user>"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<uuid>"),
    (r"(?<![0-9A-Za-z.])\d{16}(?![0-9a-z])", "<µs>"),
    (r"(?<![0-9A-Za-z.])\d{13}(?![0-9a-z])", "<ms>"),
    (r"(?<![0-9A-Za-z.])\d{10}(?:\.\d+)?(?![0-9a-z])", "<s>"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)", "<iso>"),
    (r"\b[0-9a-f]{12,64}\b", "<hex>"),
    (r"^(bellhop:tokens:.*:)\d+$", r"\1<window>"),
    (r"^(bellhop:rings-(?:by|of|to):.*:)\d+$", r"\1<minute>"),
)
A_MINUTE_S = 60
"""A shorter time to live counts as this: how much of it is left depends on the moment."""
COMMANDS = """
import json, click
from bellhop.cli import main

CONTEXT = click.Context(main)

def described(command):
    params = sorted(max(param.opts, key=len) for param in command.params)
    names = command.list_commands(CONTEXT) if isinstance(command, click.Group) else ()
    commands = {name: described(command.get_command(CONTEXT, name)) for name in names}
    return {"params": params, "commands": commands} if commands else {"params": params}

print(json.dumps(described(main)))
"""
OF_SLOW_MACHINES = {"job_was_given_away", "lease_not_renewed", "lease_renewed", "worker_died", "clocks_apart"}
OF_SLOW_MACHINES |= {"waited", "delayed", "held", "unsent"}
"""Log events, milestones and outcomes that are there only when the machine was too slow for a moment."""
WORDED = {"title", "description", "summary", "tags", "x-enum-varnames", "examples"}
"""Texts of the OpenAPI document, which may be worded anew, and names for generated code."""


def form(text):
    """A text with its ids and stamps replaced."""
    for pattern, name in FORMS:
        text = re.sub(pattern, name, text)
    return text


def types_of(value):
    """The types of a JSON value: an object by its names, an array by what is in it."""
    if isinstance(value, dict):
        return {form(name): types_of(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [merged(map(types_of, value))] if value else []
    return {str: "text", bool: "bool", int: "number", float: "number", type(None): "null"}[type(value)]


def merged(alternatives):
    """One document for several: objects by their names, anything else as a list of what is different."""
    alternatives = list(alternatives)
    if all(isinstance(alternative, dict) for alternative in alternatives):
        names = sorted({name for alternative in alternatives for name in alternative})
        optional = [name for name in names if any(name not in alternative for alternative in alternatives)]
        types = {
            name: merged(alternative[name] for alternative in alternatives if name in alternative) for name in names
        }
        return types | ({"(not always)": optional} if optional else {})
    if all(isinstance(alternative, list) for alternative in alternatives):
        items = [item for alternative in alternatives for item in alternative]
        return [merged(items)] if items else []
    different = {json.dumps(alternative, sort_keys=True): alternative for alternative in alternatives}
    known = [different[text] for text in sorted(different)]
    return known[0] if len(known) == 1 else {"one of": known}


def stored(text):
    """The form of a value in Redis."""
    if text[:1] in "[{":
        try:
            return types_of(json.loads(text))
        except ValueError:
            return "text"
    if re.fullmatch(r"-?\d{1,9}(\.\d+)?", text):
        return "number"
    replaced = form(text)
    return replaced if re.fullmatch(r"[a-z0-9_.|:<>µ -]*", replaced) and len(replaced) < 60 else "text"


def redis_keys(states):
    """Each key's form: its type, its times to live, and the forms of what is in it."""
    by_key = {}
    for state in states.values():
        for entry in state["redis"]:
            known = by_key.setdefault(form(job_id(entry["key"])), {"type": set(), "ttl_s": set(), "holds": {}})
            known["type"].add(entry["type"])
            known["ttl_s"].add(entry["ttl_s"] and max(entry["ttl_s"], A_MINUTE_S))
            for name, value in parts(entry):
                known["holds"].setdefault(name, set()).add(value)
    return {
        key: {
            "type": sorted(known["type"]),
            "ttl_s": sorted(known["ttl_s"], key=lambda ttl: ttl or 0),
            "holds": {name: [json.loads(value) for value in sorted(values)] for name, values in known["holds"].items()},
        }
        for key, known in by_key.items()
    }


def job_id(text):
    """Jobs have the name of what they are, and an id."""
    return re.sub(r"\b(ring|notify|settle|notice|mail)-[0-9a-f]{32,40}(-[0-9a-f]{32})?", r"<\1 job>", text)


def parts(entry):
    """What is in a key: the form of a field's name or of a member, and the form of its value as JSON."""

    def form_of(text):
        return json.dumps(stored(job_id(text)), sort_keys=True)

    value = entry["value"]
    if entry["key"] == "bellhop:metrics" or (entry["type"] == "list" and entry["key"].startswith("bellhop:trail:")):
        return  # see `metrics` and `trail_lines`
    match entry["type"]:
        case "string":
            yield "value", form_of(value)
        case "hash":
            for field, text in value.items():
                if entry["key"].startswith("rq:worker:"):
                    yield field, '"text"'
                elif field != "data":  # see `job_payloads`
                    yield form(field), form_of(text)
        case "list" | "set":
            for text in value:
                yield "member", form_of(text)
        case "zset":
            for member, score in value:
                yield form(job_id(member)), json.dumps(score if score == "+inf" else form(score))
        case "stream":
            for _, fields in value:
                for field, text in fields.items():
                    yield field, form_of(text)


def job_payloads(states):
    """Of each job's name, the call as RQ stores it."""
    by_name = {}
    for state in states.values():
        for entry in state["redis"]:
            if entry["key"].startswith("rq:job:"):
                name, instance, arguments, keywords = json.loads(entry["value"]["data"])
                assert (instance, keywords) == (None, {})
                by_name.setdefault(name, []).extend(types_of(argument) for argument in arguments)
    return {name: merged(shapes) for name, shapes in by_name.items()}


def trail_lines(states):
    """Of each milestone, the version, and the letters of its facts."""
    by_milestone = {}
    for state in states.values():
        for entry in state["redis"]:
            if entry["key"].startswith("bellhop:trail:"):
                for version, what, _, facts in map(json.loads, entry["value"]):
                    if OF_SLOW_MACHINES & {what, facts.get("o")}:
                        continue
                    by_milestone.setdefault(f"{version} {what}", []).append(types_of(facts))
                    for letter in "ok":
                        if letter in facts:
                            by_milestone.setdefault(f"{version} {what} {letter}", set()).add(facts[letter])
    return {what: sorted(facts) if isinstance(facts, set) else merged(facts) for what, facts in by_milestone.items()}


def metrics(states, page):
    """The samples in Redis, and those of the page: names with their labels and values, buckets and amounts apart."""
    (sums,) = (entry["value"] for entry in states["settled"]["redis"] if entry["key"] == "bellhop:metrics")
    sums = [sample for sample in sums if not OF_SLOW_MACHINES & set(json.loads(sample))]
    samples = {re.sub(r', "\d+"]$', ', "<bucket>"]', sample) for sample in sums}
    shown = {re.sub(r' -?[\d.e+-]+$|le="[^"]*"', "", line) for line in page.splitlines() if not line.startswith("#")}
    shown = {re.sub(r'worker="[^"]*"', 'worker="<worker>"', line) for line in shown}
    shown = {line for line in shown if not OF_SLOW_MACHINES & set(re.findall(r'"([a-z_]+)"', line))}
    types = {line for line in page.splitlines() if line.startswith("# TYPE")}
    return {"stored": sorted(samples), "shown": sorted(shown), "types": sorted(types)}


def log_events(installation):
    """Of each event in the logs of the web process and of the workers, its fields."""
    by_event = {}
    for path in installation.folder.glob("*.log"):
        for text in path.read_text(errors="replace").splitlines():
            line = json.loads(text) if text.startswith("{") else {}
            if "event" in line and "logger" not in line and line["event"] not in OF_SLOW_MACHINES:
                who = "web" if path.stem.startswith("web") else "worker"
                fields = by_event.setdefault(f"{who} {line['event']}", [set(line), set()])
                fields[0] &= set(line)
                fields[1] |= set(line)
    return {
        event: {"always": sorted(always), "also": sorted(ever - always)} for event, (always, ever) in by_event.items()
    }


def http(answers):
    """The OpenAPI document without its texts; and of each answer the status and the JSON's types."""
    document = answers["GET /v1/openapi.json"][1]
    schemas = document["components"]["schemas"]

    def bare(value, named=False):
        if isinstance(value, list):
            return [bare(item) for item in value]
        if not isinstance(value, dict):
            return value
        if str(value.get("$ref", "")).endswith("/Problem"):
            return "a problem"
        if "$ref" in value:  # by what it is: names of schemas are no part of the interface
            return bare(schemas[value["$ref"].rpartition("/")[2]])
        return {
            name: bare(inner, named=name in ("properties", "mapping"))
            for name, inner in value.items()
            if named or name not in WORDED
            if name != "discriminator"
        }

    types = {}
    for request, (status, body) in answers.items():
        if request not in ("GET /v1/openapi.json", "GET /metrics"):
            json_body = types_of(body) if isinstance(body, (dict, list)) else "page"
            types[form(re.sub(r"(/unsubscribe/)(?!forged).*", r"\1<link>", request))] = [status, json_body]
    return {"paths": bare(document["paths"]), "problem": bare(schemas["Problem"]), "answers": types}


def pushes(installation):
    """Of each kind of push to each provider: its headers and the types of its payload."""
    by_kind = {}
    for push in installation.apple.received:
        kind = (push.payload.get("stream") or {}).get("type", "")
        headers = {name: value for name, value in push.headers.items() if name.startswith("apns-")}
        bare = {name: form(headers[name]) for name in headers if name not in ("apns-id",)}
        by_kind.setdefault(f"apns {kind}", []).append({"headers": bare, "payload": types_of(push.payload)})
    for push in installation.google.received:
        by_kind.setdefault(f"fcm {push.message['data']['type']}", []).append(types_of(push.message))
    return {kind: merged(alternatives) for kind, alternatives in by_kind.items()}


def command_line(root):
    """The commands with their options, the settings with their defaults, the words for outcomes and standings."""
    commands = json.loads(run_python(root, "-c", COMMANDS))
    cells = [
        [cell.strip() for cell in row.split("|")[1:-1]]
        for row in run_python(root, "-m", "bellhop", "settings").splitlines()[2:]
    ]
    words = re.findall(r"^\| `([a-z_]+)` \|", run_python(root, "-m", "bellhop", "outcomes"), re.MULTILINE)
    return {"commands": commands, "settings": {row[0]: row[1] for row in cells}, "words": words}


def formats_of(writer):
    """Everything that is persisted or public, by subject."""
    installation, states = writer.installation, writer.states
    return {
        "redis": redis_keys(states),
        "jobs": job_payloads(states),
        "trail": trail_lines(states),
        "metrics": metrics(states, writer.answers["GET /metrics"][1]),
        "logs": log_events(installation),
        "http": http(writer.answers),
        "pushes": pushes(installation),
        "command_line": command_line(installation.root or NEW),
    }

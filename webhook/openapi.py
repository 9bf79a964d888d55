"""The OpenAPI 3.1 document of the /v1 API, made from the operations themselves. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from bellhop.domain.event_documents import FORMS, EventForm, schema
from webhook import api_errors
from webhook.api_errors import ApiError, ApiErrorKind

Schemas = Mapping[tuple[str, JsonSchemaMode], Any]
NamedTypes = list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]]

JSON = "application/json"
SUMMARY = "Devices, contacts and preferences of users; receipts of rings; explanations of calls."
PARAMETERS: dict[str, dict[str, Any]] = {
    "cid": {
        "description": "The call's type and id, joined by a colon.",
        "schema": {"type": "string", "minLength": 1, "pattern": "^[^/]+$"},
    },
    "app": {
        "description": "The web app, if several are configured. By default the first.",
        "schema": {"type": "string"},
    },
    "user": {"description": "Explain only this user's part of the call.", "schema": {"type": "string"}},
    "cursor": {
        "description": "`next` of the page before.",
        "schema": {"type": "string", "pattern": "^[0-9]{1,16}$"},
    },
    "since": {
        "description": "Only calls that began at this time or later.",
        "schema": {"type": "string", "format": "date-time"},
    },
    "missed": {"description": "Only missed calls.", "schema": {"type": "boolean"}},
    "caller": {"description": "Answer for calls by this user.", "schema": {"type": "string"}},
    "user_id": {
        "description": 'A Stream user id, or "me" for the user of the token.',
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[^\x00-\x1f\x7f/]+$"},
    },
    "test_id": {
        "description": "The id of a test ring, from the response that began it.",
        "schema": {"type": "string", "pattern": "^[0-9a-f-]{36}$"},
    },
    "device_id": {
        "description": "The device's id, from the response to its registration or from the list of devices.",
        "schema": {"type": "string", "pattern": "^[0-9a-f]{20}$"},
    },
}
SECURITY_SCHEMES = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": (
            "A Stream user token (HS256, claim user_id), which may act for its own user; or a server token (claim "
            "server: true, no user_id), which may act for any user. Signed with the Stream app's API secret."
        ),
    },
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Api-Key",
        "description": (
            "The Stream app's API key, required if several apps are configured. The query parameter api_key works too."
        ),
    },
}
TAGS = {
    "Users": "Devices, contact and preferences of a user, and whether the user can be rung.",
    "Calls": "A user's own list of calls; what happened in a call.",
    "Test rings": "Rings of a user's own phones, to try them.",
    "Privacy": "Export what is kept of a person, and forget the person.",
    "Receipts": "What phones report about a ring.",
    "Web Push": "What a browser needs to subscribe.",
}
"""The groups of operations. Clients that are made from the document have a module for each."""
PROBLEM_SCHEMAS = {
    "ProblemType": {
        "type": "string",
        "description": "What went wrong. More types can be added.",
        "enum": [kind.type for kind in ApiErrorKind],
        "x-enum-varnames": [kind.word.replace("-", "_").upper() for kind in ApiErrorKind],
    },
    "InvalidField": {
        "type": "object",
        "description": "A place in the request body that is invalid, and why.",
        "properties": {
            "pointer": {"type": "string", "description": "The place in the body, a JSON Pointer (RFC 6901)."},
            "detail": {"type": "string"},
        },
        "required": ["pointer", "detail"],
    },
    "Problem": {
        "type": "object",
        "description": "A problem document (RFC 9457).",
        "properties": {
            "type": {"$ref": "#/components/schemas/ProblemType"},
            "title": {"type": "string", "description": "What went wrong, for people. The text may change."},
            "status": {"type": "integer", "description": "The HTTP status."},
            "errors": {
                "type": "array",
                "description": "Only if the body is invalid.",
                "items": {"$ref": "#/components/schemas/InvalidField"},
            },
        },
        "required": ["type", "title", "status"],
    },
}


EVENT_HEADERS = [
    {"name": name, "in": "header", "required": True, "schema": {"type": "string"}, "description": description}
    for name, description in (
        ("webhook-id", "The event's id: the same for each repeat."),
        ("webhook-timestamp", "When this request was made, in unix seconds."),
        (
            "webhook-signature",
            "One signature for each secret of the endpoint, separated by spaces (Standard Webhooks).",
        ),
    )
]
EVENT_RESPONSES = {
    "2XX": {"description": "The event was taken."},
    "410": {"description": "The endpoint is gone: Bellhop sends nothing to it for an hour."},
    "default": {"description": "Bellhop sends the event again, for a day. With 429 and 503 it obeys Retry-After."},
}


class Operation(NamedTuple):
    """One operation of the API."""

    method: str
    path: str
    """With parameters in braces."""
    tag: str
    """The group that it belongs to, one of TAGS."""
    name: str
    summary: str
    body: TypeAdapter[Any] | None
    answer: TypeAdapter[Any] | None
    """None: the response is 204 without a body."""
    errors: tuple[ApiErrorKind, ...]
    query: tuple[str, ...] = ()
    """Parameters that the query may have."""
    also: tuple[int, ...] = ()
    """Further statuses whose response has the same form."""
    status: int = 200
    """Of a response that has an answer."""
    token: bool = True
    """Whether it needs a token."""
    streams: str = ""
    """The media type of a response that is a stream of texts; empty if it is none."""


def document(operations: Iterable[Operation], version: str) -> dict[str, Any]:
    """Make the document for these operations."""
    listed = list(operations)
    bodies: NamedTypes = [(listing.name, "validation", listing.body) for listing in listed if listing.body]
    answers: NamedTypes = [(listing.name, "serialization", listing.answer) for listing in listed if listing.answer]
    schemas, definitions = TypeAdapter.json_schemas([*bodies, *answers], ref_template="#/components/schemas/{model}")
    paths: dict[str, dict[str, Any]] = {}
    for operation in listed:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _describe(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Bellhop", "version": version, "description": SUMMARY},
        "security": [{"token": []}, {"token": [], "apiKey": []}],
        "paths": paths,
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "webhooks": {form.name: {"post": _describe_event(form)} for form in FORMS},
        "components": {
            "schemas": {**definitions.get("$defs", {}), **PROBLEM_SCHEMAS},
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def _describe_event(form: EventForm) -> dict[str, Any]:
    """Describe the requests of one type to an endpoint of the team's backend."""
    return {
        "operationId": form.name.replace(".", "_"),
        "summary": form.summary,
        "description": "Sent at least once to each endpoint of BELLHOP_EVENT_ENDPOINTS (docs/events.md).",
        "security": [],
        "parameters": EVENT_HEADERS,
        "requestBody": {"required": True, "content": {JSON: {"schema": schema(form)}}},
        "responses": EVENT_RESPONSES,
    }


def _describe(operation: Operation, schemas: Schemas) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": [*_path_parameters(operation), *_query_parameters(operation)],
        "responses": {**_error_responses(operation.errors)},
    }
    _add_success_responses(described["responses"], operation, schemas)
    if operation.body is not None:
        content = {JSON: {"schema": schemas[operation.name, "validation"]}}
        described["requestBody"] = {"required": True, "content": content}
    if not operation.token:
        described["security"] = []
    return described


def _path_parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"{(\w+)}", operation.path):
        yield {"name": name, "in": "path", "required": True, **PARAMETERS[name]}


def _query_parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    for name in operation.query:
        yield {"name": name, "in": "query", "required": False, **PARAMETERS[name]}


def _add_success_responses(responses: dict[str, Any], operation: Operation, schemas: Schemas) -> None:
    if operation.streams:
        content = {operation.streams: {"schema": {"type": "string"}}}
        responses["200"] = {"description": "The stream.", "content": content}
        return
    if operation.answer is None:
        responses["204"] = {"description": "Done."}
        return
    for status in (operation.status, *operation.also):
        response = responses.setdefault(str(status), {"description": "Done.", "content": {}})
        answer = {JSON: {"schema": schemas[operation.name, "serialization"]}}
        response["content"] = answer | response["content"]  # generators of clients may read only the first one


def _error_responses(errors: Iterable[ApiErrorKind]) -> dict[str, Any]:
    """Describe the errors, by status."""
    kinds: dict[str, list[ApiErrorKind]] = {}
    for kind in errors:
        kinds.setdefault(str(kind.status), []).append(kind)
    return {status: _error_response(of_status) for status, of_status in sorted(kinds.items())}


def _error_response(kinds: Sequence[ApiErrorKind]) -> dict[str, Any]:
    examples = {kind.word: {"summary": kind.title, "value": ApiError(kind).document()} for kind in kinds}
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": examples}
    return {"description": " ".join(kind.title for kind in kinds), "content": {api_errors.MEDIA_TYPE: content}}

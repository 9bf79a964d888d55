"""The OpenAPI 3.1 document of the /v1 interface, made from the operations themselves. Pure."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from webhook import api_errors
from webhook.api_errors import Problem

Shapes = list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]]

JSON = "application/json"
SUMMARY = "People's devices, contacts and preferences; receipts of rings; the stories of calls."
PARAMETERS: dict[str, dict[str, Any]] = {
    "cid": {
        "description": "A call's type and id, with a colon between.",
        "schema": {"type": "string", "minLength": 1, "pattern": "^[^/]+$"},
    },
    "user": {"description": "Whom it is about; everybody without it.", "schema": {"type": "string"}},
    "user_id": {
        "description": 'A Stream user id, or "me" for the user of the token.',
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[^\x00-\x1f\x7f/]+$"},
    },
    "device_id": {
        "description": "A device's id, as registering and listing answer it.",
        "schema": {"type": "string", "pattern": "^[0-9a-f]{20}$"},
    },
}
SECURITY_SCHEMES = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": (
            "A Stream user token (HS256, claim user_id), which acts for its own user; or a server token (claim server: "
            "true, no user_id), which acts for any. Signed with the Stream app's API secret."
        ),
    },
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Api-Key",
        "description": "The Stream app's API key, where several apps are served. Also read: the query's api_key.",
    },
}
PROBLEM_SCHEMA = {
    "type": "object",
    "description": "A problem document (RFC 9457).",
    "properties": {
        "type": {"type": "string", "enum": [problem.type for problem in Problem]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "pointer": {"type": "string", "description": "Where in the body: a JSON Pointer (RFC 6901)."},
                    "detail": {"type": "string"},
                },
                "required": ["pointer", "detail"],
            },
        },
    },
    "required": ["type", "title", "status"],
}


class Operation(NamedTuple):
    """One thing that the interface does."""

    method: str
    path: str
    """With its parameters in braces."""
    name: str
    summary: str
    body: TypeAdapter[Any] | None
    answer: TypeAdapter[Any] | None
    """None: 204 without a body."""
    problems: tuple[Problem, ...]
    query: tuple[str, ...] = ()
    """Parameters that may be in the query."""
    also: tuple[int, ...] = ()
    """Statuses besides 200 that come with the same answer."""
    token: bool = True
    """Whether it takes one."""


def document(operations: Iterable[Operation], version: str) -> dict[str, Any]:
    """Describe the operations."""
    listed = list(operations)
    inputs: Shapes = [(operation.name, "validation", operation.body) for operation in listed if operation.body]
    outputs: Shapes = [(operation.name, "serialization", operation.answer) for operation in listed if operation.answer]
    schemas, definitions = TypeAdapter.json_schemas([*inputs, *outputs], ref_template="#/components/schemas/{model}")
    paths: dict[str, dict[str, Any]] = {}
    for operation in listed:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Bellhop", "version": version, "description": SUMMARY},
        "security": [{"token": []}, {"token": [], "apiKey": []}],
        "paths": paths,
        "components": {
            "schemas": {**definitions.get("$defs", {}), "Problem": PROBLEM_SCHEMA},
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def _described(operation: Operation, schemas: Mapping[tuple[str, JsonSchemaMode], Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": [
            *({"name": name, "in": "path", "required": True, **PARAMETERS[name]} for name in _parts(operation.path)),
            *({"name": name, "in": "query", "required": False, **PARAMETERS[name]} for name in operation.query),
        ],
        "responses": _problems(operation.problems),
    }
    if operation.answer is None:
        described["responses"]["204"] = {"description": "Done."}
    else:
        for status in (200, *operation.also):
            response = described["responses"].setdefault(str(status), {"description": "Done.", "content": {}})
            response["content"][JSON] = {"schema": schemas[operation.name, "serialization"]}
    if operation.body is not None:
        content = {JSON: {"schema": schemas[operation.name, "validation"]}}
        described["requestBody"] = {"required": True, "content": content}
    if not operation.token:
        described["security"] = []
    return described


def _parts(path: str) -> list[str]:
    """Read the parameters of a path."""
    return re.findall(r"{(\w+)}", path)


def _problems(listed: Iterable[Problem]) -> dict[str, Any]:
    """Describe the problems by their status."""
    titles: dict[str, list[str]] = {}
    for problem in listed:
        titles.setdefault(str(problem.status), []).append(problem.title)
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {
        status: {"description": " ".join(lines), "content": {api_errors.MEDIA_TYPE: schema}}
        for status, lines in sorted(titles.items())
    }

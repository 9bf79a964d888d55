"""The OpenAPI 3.1 document of the /v1 interface, made from the operations themselves. Pure."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from webhook import problems
from webhook.problems import Problem

Shapes = list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]]

JSON = "application/json"
PARAMETERS = {
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
        "info": {"title": "Bellhop", "version": version, "description": "People: their devices, contact, preferences."},
        "security": [{"token": []}, {"token": [], "apiKey": []}],
        "paths": paths,
        "components": {
            "schemas": {**definitions.get("$defs", {}), "Problem": PROBLEM_SCHEMA},
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def _described(operation: Operation, schemas: Mapping[tuple[str, JsonSchemaMode], Any]) -> dict[str, Any]:
    success: dict[str, Any] = {"description": "Done."}
    if operation.answer:
        success["content"] = {JSON: {"schema": schemas[operation.name, "serialization"]}}
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": [
            {"name": name, "in": "path", "required": True, **PARAMETERS[name]}
            for name in re.findall(r"{(\w+)}", operation.path)
        ],
        "responses": {"200" if operation.answer else "204": success, **_problems(operation.problems)},
    }
    if operation.body:
        described["requestBody"] = {
            "required": True,
            "content": {JSON: {"schema": schemas[operation.name, "validation"]}},
        }
    return described


def _problems(listed: Iterable[Problem]) -> dict[str, Any]:
    """Describe the problems by their status."""
    titles: dict[str, list[str]] = {}
    for problem in listed:
        titles.setdefault(str(problem.status), []).append(problem.title)
    content = {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": " ".join(lines), "content": content} for status, lines in sorted(titles.items())}

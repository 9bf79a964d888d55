"""Sentences for values that fail validation, for the API's answers, the settings and the CLI. Pure.

pydantic's own messages speak to programmers, and some of them quote the value, which may be a secret.
"""

from collections.abc import Mapping
from typing import Any

OBJECT = "must be an object"
TIMESTAMP = "must be an RFC 3339 timestamp, such as 2030-01-01T08:00:00Z"

SENTENCES = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "json_invalid": "must be valid JSON",
    "string_type": "must be a string",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "int_type": "must be an integer",
    "int_parsing": "must be an integer",
    "int_from_float": "must be an integer",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "too_short": "must not be empty",
    "model_type": OBJECT,
    "model_attributes_type": OBJECT,
    "dict_type": OBJECT,
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "union_tag_not_found": "needs the field {discriminator}",
    "union_tag_invalid": "must have one of {expected_tags} as {discriminator}",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
    "datetime_type": TIMESTAMP,
    "datetime_parsing": TIMESTAMP,
    "datetime_from_date_parsing": TIMESTAMP,
    "timezone_aware": 'must have a time zone, such as "Z" at its end',
}
"""By pydantic's name of the error. pydantic's context fills the braces."""
PATTERNS = {
    "analytics_label": "must have at most 50 letters, digits and -_.~%",
    **dict.fromkeys(("always_from", "never_from"), "must be a user id: printable ASCII without spaces"),
    "app": "must be a bundle id or a Firebase project id",
    "email": "must be an e-mail address",
    "from": "must be a time of day, HH:MM",
    "language": 'must be a language tag, such as "en" or "pt-BR"',
    "tenant": "must be 1 to 64 letters, digits, - and _",
    "to": "must be a time of day, HH:MM",
    "token": "must be a push token: 16 to 400 hexadecimal digits for Apple, printable ASCII without spaces for Google",
    "topic": "must be a bundle id, such as com.example.app",
    "user_id": "must not contain control characters",
}
"""By the name of the field: the form that its pattern demands."""


def describe_error(error: Mapping[str, Any]) -> str:
    """Return a sentence for one of pydantic's errors, to put after the field's name. It never shows the value."""
    kind = error["type"]
    path = [name for name in error["loc"] if isinstance(name, str)]
    if kind == "string_pattern_mismatch" and path and path[-1] in PATTERNS:
        return PATTERNS[path[-1]]
    if kind in SENTENCES:
        context = error.get("ctx", {})
        return SENTENCES[kind].format_map({name: _without_zeros(value) for name, value in context.items()})
    return str(error["msg"]).removeprefix("Value error, ")


def _without_zeros(value: Any) -> Any:
    """Return 180 for 180.0: pydantic turns the limits of a float into floats."""
    return int(value) if isinstance(value, float) and value.is_integer() else value

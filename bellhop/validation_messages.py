"""What is wrong with a value that came from outside, in plain words: pydantic's own are for programmers. Pure."""

from collections.abc import Mapping
from typing import Any

SENTENCES = {
    "missing": "is missing",
    "extra_forbidden": "is unknown here",
    "json_invalid": "is no JSON",
    "string_type": "is no text",
    "string_too_short": "is empty",
    "string_too_long": "is longer than {max_length} characters",
    "int_type": "is no whole number",
    "int_parsing": "is no whole number",
    "int_from_float": "is no whole number",
    "float_type": "is no number",
    "float_parsing": "is no number",
    "bool_type": "is neither true nor false",
    "bool_parsing": "is neither true nor false",
    "list_type": "is no list",
    "too_short": "is empty",
    "model_type": "is no object with fields",
    "model_attributes_type": "is no object with fields",
    "dict_type": "is no object with fields",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "union_tag_not_found": "needs the field {discriminator}",
    "union_tag_invalid": "must have one of {expected_tags} as {discriminator}",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
    "datetime_type": "is no moment, such as 2030-01-01T08:00:00Z",
    "datetime_parsing": "is no moment, such as 2030-01-01T08:00:00Z",
    "datetime_from_date_parsing": "is no moment, such as 2030-01-01T08:00:00Z",
    "timezone_aware": 'has no time zone, such as "Z" at its end',
}
"""By pydantic's name of the finding, with what it knows filled in."""
FORMS = {
    "app": "must be a bundle id or a Firebase project id",
    "email": "is no e-mail address",
    "from": "must be a time of day, HH:MM",
    "language": 'is no language tag, such as "en" or "pt-BR"',
    "tenant": "must be 1 to 64 letters, digits, - and _",
    "to": "must be a time of day, HH:MM",
    "token": "is no push token: 16 to 400 hexadecimal digits for Apple, printable ASCII without spaces for Google",
    "topic": "must be a bundle id, such as com.example.app",
    "user_id": "has characters that no user id has",
}
"""What a text must look like, by the name of its field: instead of the pattern that it does not match."""


def said(detail: Mapping[str, Any]) -> str:
    """Say one of pydantic's findings, to stand after the field's name. Never shows the value: it may be a secret."""
    kind, place = detail["type"], detail["loc"]
    if kind == "string_pattern_mismatch" and place and place[-1] in FORMS:
        return FORMS[place[-1]]
    if kind in SENTENCES:
        return SENTENCES[kind].format_map(detail.get("ctx", {}))
    return str(detail["msg"]).removeprefix("Value error, ")

from typing import Annotated

from pydantic import ConfigDict, Field

from bellhop.field_docs import DocumentedModel, field_docs


class Plain(DocumentedModel):
    model_config = ConfigDict(frozen=True)

    kept: int
    """Kept from the base,
    on two lines."""
    silent: int


class Inner(DocumentedModel):
    """A model."""

    begin: Annotated[int, Field(alias="from")]
    """Where it begins."""


class Outer(Plain):
    inner: Inner | None = None
    """A model inside."""
    own: Annotated[int, Field(description="Its own words.")] = 1
    """Not these."""


def test_the_docstrings_of_the_bases_count_too():
    assert field_docs(Outer) == {
        "kept": "Kept from the base,\non two lines.",
        "inner": "A model inside.",
        "own": "Not these.",
    }


def test_the_schema_has_them_by_the_names_of_the_json():
    schema = Outer.model_json_schema()
    said = {name: field.get("description") for name, field in schema["properties"].items()}
    assert said == {
        "kept": "Kept from the base,\non two lines.",
        "silent": None,
        "inner": "A model inside.",
        "own": "Its own words.",
    }
    assert schema["$defs"]["Inner"]["properties"]["from"]["description"] == "Where it begins."

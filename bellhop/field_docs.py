"""The docstrings of the fields of a pydantic model.

Python does not keep them. Pydantic can read them with `use_attribute_docstrings`, but it does so at every import of the
model, even if nobody reads the descriptions, and it looks for each class in all loaded modules. It took a tenth of the
start of every command.
"""

import ast
import inspect
import sys
from functools import cache
from itertools import pairwise
from typing import Any

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic_core import CoreSchema


def field_docs(model: type[BaseModel]) -> dict[str, str]:
    """Return the docstring of each field that has one. Inherited fields are included."""
    found: dict[str, str] = {}
    for part in reversed(model.__mro__):
        if issubclass(part, BaseModel) and part.__module__ != BaseModel.__module__:
            found |= _docs_of_module(part.__module__).get(part.__name__, {})
    return found


@cache
def _docs_of_module(name: str) -> dict[str, dict[str, str]]:
    parsed = ast.parse(inspect.getsource(sys.modules[name]))
    return {
        statement.name: _docs_of_class(statement) for statement in parsed.body if isinstance(statement, ast.ClassDef)
    }


def _docs_of_class(parsed: ast.ClassDef) -> dict[str, str]:
    found = {}
    for statement, following in pairwise(parsed.body):
        match statement, following:
            case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(text))):
                found[name] = inspect.cleandoc(text)
    return found


class DocumentedModel(BaseModel):
    """A model whose JSON schema has the docstrings of the fields as descriptions."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Add the descriptions to pydantic's schema."""
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema)["properties"]
        for name, text in field_docs(cls).items():
            properties[cls.model_fields[name].alias or name].setdefault("description", text)
        return schema

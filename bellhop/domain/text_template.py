"""One text that a team writes for its pushes: a small part of Jinja's language, in Jinja's sandbox. Pure.

A template may write values, join them with `~`, choose with `if`, and apply the filters in FILTERS. It cannot loop, set
variables, calculate or call. So its result is never much longer than its source and its values together. All of this is
checked when the template is compiled, and so is the name of each value.
"""

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

from jinja2 import Template, TemplateSyntaxError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

MOST_SOURCE = 1_000
"""Characters of a template."""
MOST_RESULT = 1_000
"""Characters of what a template writes; the rest is cut."""
FILTERS = frozenset({"capitalize", "default", "first", "lower", "title", "trim", "truncate", "upper", "urlencode"})
"""None of them makes a text longer than by a fixed factor."""
_PARTS = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.Const, nodes.If, nodes.CondExpr, nodes.Concat),
    *(nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.List, nodes.Tuple, nodes.Keyword),
)
"""The parts of Jinja's language that a template may have, besides values and filters."""
_COMPARISONS = frozenset({"eq", "ne", "in", "notin"})
_VALUES = (nodes.Name, nodes.Getattr, nodes.Getitem)

Values = Mapping[str, Any]
"""What a template may write: texts, in groups such as `call`."""


class InvalidTemplate(ValueError):  # noqa: N818 - names what is wrong
    """A template that cannot be used. The message is a sentence without a subject; `line` counts from 1."""

    def __init__(self, reason: str, line: int) -> None:
        super().__init__(reason)
        self.line = line


class _Environment(ImmutableSandboxedEnvironment):
    """Reads `call.name` as the value with this name, and never as a method of Python's."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        return self.getitem(obj, attribute)


_environment = _Environment(keep_trailing_newline=False, auto_reload=False, cache_size=0)


class TextTemplate:
    """A compiled template. `known` are the values that it may use, such as "call.name"."""

    def __init__(self, source: str, known: Collection[str]) -> None:
        """Raises InvalidTemplate."""
        if len(source) > MOST_SOURCE:
            raise InvalidTemplate(f"has {len(source)} characters; a template may have {MOST_SOURCE}", 1)
        self._fixed = source.strip()[:MOST_RESULT]
        self._compiled: Template | None = None
        """None if the source has no tag: then it is the result."""
        if "{" not in source:
            return
        try:
            tree = _environment.parse(source)
            _check(tree, known)
            self._compiled = _environment.from_string(tree)
        except TemplateSyntaxError as error:
            raise InvalidTemplate(f"is not a valid template: {error.message}", error.lineno) from None
        except (RecursionError, SyntaxError, MemoryError):  # Python refuses to compile what Jinja made of it
            raise InvalidTemplate("is nested too deeply", 1) from None

    def render(self, values: Values) -> str:
        """Fill in the template. Raises any of Python's exceptions if an operation does not fit a value."""
        if self._compiled is None:
            return self._fixed
        return self._compiled.render(values).strip()[:MOST_RESULT]


def _check(node: nodes.Node, known: Collection[str]) -> None:
    if isinstance(node, _VALUES):
        _check_value(node, known)
        return
    if isinstance(node, nodes.Filter):
        if node.name not in FILTERS:
            raise InvalidTemplate(f"uses the filter {node.name}; available are {_listed(FILTERS)}", node.lineno)
    elif not isinstance(node, _PARTS):
        raise InvalidTemplate(f"uses {_name_of(node)}, which is not available here", node.lineno)
    elif isinstance(node, nodes.Operand) and node.op not in _COMPARISONS:
        raise InvalidTemplate("may compare only with ==, !=, in and not in", node.lineno or 1)
    for child in node.iter_child_nodes():
        _check(child, known)


def _check_value(node: nodes.Node, known: Collection[str]) -> None:
    name = _path(node)
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"available are {_listed(known)}"
        raise InvalidTemplate(f"uses {name}, which does not exist; {hint}", node.lineno)


def _path(node: nodes.Node) -> str:
    """Return the whole name of a value: "call.custom.topic", also for `call.custom["topic"]`."""
    if isinstance(node, nodes.Name):
        return node.name
    if isinstance(node, nodes.Getattr):
        return f"{_path(node.node)}.{node.attr}"
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        return f"{_path(node.node)}.{node.arg.value}"
    raise InvalidTemplate("may read values by their names only", node.lineno)


def _name_of(node: nodes.Node) -> str:
    return _NAMES.get(type(node), f"Jinja's {type(node).__name__.lower()}")


_NAMES: dict[type[nodes.Node], str] = {
    nodes.Call: "a call",
    nodes.For: "a loop",
    nodes.Assign: "a variable",
    nodes.AssignBlock: "a variable",
    nodes.Test: "a test with `is`",
    nodes.Add: "arithmetic (to join texts, write ~)",
    **dict.fromkeys((nodes.Mul, nodes.Pow, nodes.Sub, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Neg), "arithmetic"),
}


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names))

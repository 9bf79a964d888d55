"""The templates of the e-mail and of its unsubscribe page: Jinja2 in its sandbox, HTML escaped.

A template in the team's own folder goes before ours. Users' names reach a template only as values, never as source.
"""

from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup, escape

from bellhop.i18n.texts import PLACEHOLDER, SHIPPED

TEMPLATES = ("missed.html", "missed.txt", "unsubscribe.html")


class Templates:
    """The compiled templates, by file name. Raises ValueError with a sentence if one cannot be compiled."""

    def __init__(self, folder: Path | None = None) -> None:
        environment = _environment(folder)
        try:
            self._templates: dict[str, Template] = {name: environment.get_template(name) for name in TEMPLATES}
        except TemplateError as error:
            raise ValueError(f"{error.__class__.__name__} in a template of {folder or SHIPPED}: {error}") from None

    def render(self, name: str, **values: Any) -> str:
        """Fill a template. Raises jinja2.TemplateError if it uses a value that is not given."""
        return self._templates[name].render(values)


def _environment(folder: Path | None) -> Environment:
    folders = [folder, SHIPPED] if folder else [SHIPPED]
    environment = ImmutableSandboxedEnvironment(
        loader=ChoiceLoader([FileSystemLoader(searched) for searched in folders]),
        autoescape=lambda name: bool(name and name.endswith(".html")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters["fill_html"] = fill_html
    return environment


def fill_html(text: str, **values: object) -> Markup:
    """Replace each {name} by its value, in a <bdi> element, so that a right-to-left name does not reorder the text."""
    escaped = str(escape(text))
    return Markup(PLACEHOLDER.sub(lambda match: _isolated(values.get(match[1], match[0])), escaped))  # noqa: S704 - escaped


def _isolated(value: object) -> str:
    return f"<bdi>{escape(value)}</bdi>"

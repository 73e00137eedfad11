"""Pages from Jinja2 templates.

`render` and `piece` fill a template, which escapes every text that is not Markup. A template of another package has
that package's name before a colon: `hpsearch.reproduction:page.html`.
"""

import html
import re
from collections.abc import Callable
from importlib import resources
from typing import Any, Final

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from hpsearch.report.palette import LOOKS, variable
from hpsearch.study.messages import format_count

_PACKAGE: Final = "hpsearch.report"
_TRIAL_NUMBER: Final = re.compile(r'<span class="trial-number">(\d+)</span>')
_OPTION: Final = re.compile(r"(?<!\S)(--[\w-]+)")
_HEADING: Final = re.compile(r'<h2 id="([\w-]+)-title">(.*?)</h2>')


def asset(name: str) -> str:
    """Return a file of the report, such as the style sheet or the script."""
    return resources.files(_PACKAGE).joinpath(name).read_text(encoding="utf-8")


def render(template: str, **values: Any) -> Markup:
    """Return a template as HTML; texts among the values are escaped."""
    return as_markup(_TEMPLATES.get_template(template).render(values))


def compile_templates(*templates: str) -> None:
    """Compile templates now, so that the first page takes less time."""
    for template in templates:
        _TEMPLATES.get_template(template)


def piece(template: str, macro: str, /, *args: Any, **values: Any) -> Markup:
    """Return a macro of a template as HTML; texts among the values are escaped."""
    made: Markup = getattr(_TEMPLATES.get_template(template).module, macro)(*args, **values)
    return made


def text_with_code(raw: str) -> Markup:
    """Return any text as HTML; parts between backquotes, such as a command, are set as code."""
    return piece("parts.html", "text_with_code", raw.split("`"))


def command_text(code: str) -> Markup:
    """Return a command as HTML whose options do not break at their hyphens: `--trials`."""
    return piece("parts.html", "command", _OPTION.split(code))


def contents(sections: str) -> Markup:
    """Return links to the sections, HTML from the macro `section`, in order."""
    found = _HEADING.findall(sections)
    return piece("parts.html", "contents", [(name, as_markup(title)) for name, title in found])


def with_trial_links(page: str, link: Callable[[int], str]) -> str:
    """Return a page with links to `link(number)` on its trial numbers, which have a unique markup."""
    return _TRIAL_NUMBER.sub(lambda found: piece("parts.html", "link", link(int(found[1])), found[1]), page)


def _template(name: str) -> str:
    """Return the source of a template: `page.html` of the report, or `PACKAGE:page.html`."""
    package, _, file = name.rpartition(":")
    folder = resources.files(package or _PACKAGE).joinpath("templates")
    return folder.joinpath(file).read_text(encoding="utf-8")


def _escaped(value: object) -> Markup:
    """Escape a value with `&#x27;` for an apostrophe, as the standard library does."""
    return value if isinstance(value, Markup) else as_markup(html.escape(str(value), quote=True))


def as_markup(made: str) -> Markup:
    """Mark HTML as Markup: the texts in it are escaped already."""
    return Markup(made)  # noqa: S704


_TEMPLATES: Final = Environment(
    loader=FunctionLoader(_template),
    autoescape=True,
    finalize=_escaped,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters |= {
    "code": text_with_code,
    "contents": contents,
    "options": command_text,
    "thousands": format_count,
    "variable": variable,
}
_TEMPLATES.globals["looks"] = LOOKS

"""The template pieces that all pages share.

`render` and `piece` fill a template, which escapes every text that is not Markup. The other functions serve pages built
from strings, such as those of the dashboard. They return `str`, because adding a string to Markup would escape it.
"""

import html
import re
from collections.abc import Callable, Iterable, Sequence
from importlib import resources
from typing import Any, Final

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from hpsearch.analysis.formats import format_count
from hpsearch.report.palette import LOOKS, variable

_PACKAGE: Final = "hpsearch.report"
_TRIAL_NUMBER: Final = re.compile(r'<span class="trial-number">(\d+)</span>')
_OPTION: Final = re.compile(r"(?<!\S)--[\w-]+")
_HEADING: Final = re.compile(r'<h2 id="([\w-]+)-title">(.*?)</h2>')


def asset(name: str) -> str:
    """Return a file of the report: a template, the style sheet or the script."""
    return resources.files("hpsearch.report").joinpath(name).read_text(encoding="utf-8")


def render(template: str, **values: Any) -> Markup:
    """Return a template as HTML; texts among the values are escaped."""
    return _trusted(_TEMPLATES.get_template(template).render(values))


def piece(template: str, macro: str, /, *args: Any, **values: Any) -> Markup:
    """Return a macro of a template as HTML; texts among the values are escaped."""
    made: Markup = getattr(_TEMPLATES.get_template(template).module, macro)(*args, **values)
    return made


def text(raw: object) -> str:
    """Return any text as HTML that displays it literally."""
    return html.escape(str(raw), quote=True)


def text_with_code(raw: str) -> Markup:
    """Return any text as HTML; parts between backquotes, such as a command, are set as code."""
    parts = (text(part) for part in raw.split("`"))
    return _trusted(
        "".join(
            f"<code>{whole_options(part)}</code>" if index % 2 else part for index, part in enumerate(parts)
        )
    )


def whole_options(code: str) -> str:
    """Return a command, HTML, with options that do not break at their hyphens: `--trials`."""
    return _OPTION.sub(r'<span class="option">\g<0></span>', code)


def with_trial_links(page: str, link: Callable[[int], str]) -> str:
    """Return a page with links to `link(number)` on its trial numbers, which have a unique markup."""
    return _TRIAL_NUMBER.sub(lambda found: f'<a href="{text(link(int(found[1])))}">{found[1]}</a>', page)


def contents(sections: str) -> Markup:
    """Return links to the sections, HTML from `section`, in order."""
    links = "".join(f'<a href="#{name}">{title}</a>' for name, title in _HEADING.findall(sections))
    return _trusted(f'<nav class="contents" aria-label="Contents">{links}</nav>')


def section(name: str, title: str, content: str) -> str:
    """Return a section of a page; `title` and `content` are HTML."""
    return str(piece("parts.html", "section", name, _trusted(title), caller=lambda: _trusted(content)))


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Return names with their values, both texts."""
    return str(piece("parts.html", "facts", pairs))


def table_of(caption: str, heads: Sequence[str], body: str) -> str:
    """Return a table that scrolls if it is too wide; caption and heads are texts, `body` is the HTML of its rows.

    The caption may be empty.
    """
    return str(piece("parts.html", "table", caption, heads, caller=lambda: _trusted(body)))


def rows_of(rows: Iterable[Iterable[str]]) -> str:
    """Return the HTML of a table's rows; cells are HTML."""
    return str(piece("parts.html", "rows", [[_trusted(cell) for cell in row] for row in rows]))


def empty(words: str) -> str:
    """Return the message for an empty section; `words` are text, with commands between backquotes."""
    return str(piece("parts.html", "empty", words))


def _template(name: str) -> str:
    """Return the source of a template: `page.html` of the report, or `PACKAGE:page.html`."""
    package, _, file = name.rpartition(":")
    folder = resources.files(package or _PACKAGE).joinpath("templates")
    return folder.joinpath(file).read_text(encoding="utf-8")


def _escaped(value: object) -> Markup:
    """Escape a value as `text` does, so that quotes have one spelling in templates and in strings."""
    return value if isinstance(value, Markup) else _trusted(text(value))


def _trusted(made: str) -> Markup:
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
    "options": lambda raw: _trusted(whole_options(text(raw))),
    "thousands": format_count,
    "variable": variable,
}
_TEMPLATES.globals["looks"] = LOOKS

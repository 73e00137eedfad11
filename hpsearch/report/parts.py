"""The pieces that all pages are made of. Every text that came from outside goes through `text`."""

import html
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

_TRIAL_NUMBER: Final = re.compile(r'<span class="trial-number">(\d+)</span>')
_OPTION: Final = re.compile(r"(?<!\S)--[\w-]+")
_HEADING: Final = re.compile(r'<h2 id="([\w-]+)-title">(.*?)</h2>')


def text(raw: object) -> str:
    """Return any text as HTML that shows it and runs nothing."""
    return html.escape(str(raw), quote=True)


def text_with_code(raw: str) -> str:
    """Return any text as HTML; what stands between backquotes, such as a command, is set as code."""
    parts = (text(part) for part in raw.split("`"))
    return "".join(
        f"<code>{whole_options(part)}</code>" if index % 2 else part for index, part in enumerate(parts)
    )


def whole_options(code: str) -> str:
    """Return a command, HTML, whose options are not broken at their hyphens: `--trials`."""
    return _OPTION.sub(r'<span class="option">\g<0></span>', code)


def trial_number(number: int) -> str:
    """Return a trial's number as HTML that `with_trial_links` can make a link."""
    return f'<span class="trial-number">{number}</span>'


def with_trial_links(page: str, link: Callable[[int], str]) -> str:
    """Return a page whose numbers of trials are links to `link(number)`; nothing else on it can look like one."""
    return _TRIAL_NUMBER.sub(lambda found: f'<a href="{text(link(int(found[1])))}">{found[1]}</a>', page)


def contents(sections: str) -> str:
    """Return links to the sections, HTML that `section` made, in their order."""
    links = "".join(f'<a href="#{name}">{title}</a>' for name, title in _HEADING.findall(sections))
    return f'<nav class="contents" aria-label="Contents">{links}</nav>'


def section(name: str, title: str, content: str) -> str:
    """Return a section of a page; `title` and `content` are HTML."""
    return f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{title}</h2>{content}</section>'


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Return names with their values, both texts."""
    listed = "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in pairs)
    return f'<dl class="facts">{listed}</dl>'


def table_of(caption: str, heads: Sequence[str], body: str) -> str:
    """Return a table that scrolls where it is too wide; caption and heads are texts, `body` is the HTML of its rows.

    Without a caption it has none.
    """
    head = "".join(f'<th scope="col">{text(name)}</th>' for name in heads)
    above = f"<caption>{text(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll" tabindex="0"><table>{above}'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def rows_of(rows: Iterable[Iterable[str]]) -> str:
    """Return the HTML of a table's rows, whose cells are HTML."""
    return "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)


def empty(words: str) -> str:
    """Return what stands where there is nothing to show; `words` are text, with commands between backquotes."""
    return f'<p class="empty">{text_with_code(words)}</p>'

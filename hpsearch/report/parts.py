"""The pieces that all pages are made of. Every text that came from outside goes through `text`."""

import html
from collections.abc import Iterable


def text(raw: object) -> str:
    """Return any text as HTML that shows it and runs nothing."""
    return html.escape(str(raw), quote=True)


def section(name: str, title: str, content: str) -> str:
    """Return a section of a page; `title` and `content` are HTML."""
    return f'<section id="{name}" aria-labelledby="{name}-title"><h2 id="{name}-title">{title}</h2>{content}</section>'


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Return names with their values, both texts."""
    listed = "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in pairs)
    return f'<dl class="facts">{listed}</dl>'

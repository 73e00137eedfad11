"""A description of data for people and for programs."""

import math
from dataclasses import asdict
from typing import Any, Final

from hpsearch.data.description import Description
from hpsearch.study.messages import format_number

_MANY: Final = 12
"""More names than this are shortened for people."""


def described(description: Description) -> dict[str, Any]:
    """Return a JSON object. A number that there is not, since all inputs are missing, is null."""
    item = asdict(description)
    for key in ("minimum", "maximum", "mean"):
        if not math.isfinite(item[key]):
            item |= {key: None, f"{key}_reason": "nan"}
    return item


def described_rows(description: Description) -> list[tuple[str, str]]:
    """Return (property, value) for people."""
    classes = [f"{name} ({count:,})" for name, count in description.classes.items()]
    return [
        ("source", description.name),
        ("task", description.task),
        ("examples", f"{description.examples:,}"),
        ("inputs", f"{description.inputs:,}"),
        ("outputs", f"{description.outputs:,}"),
        *([("classes", _shortened(classes))] if classes else []),
        *([("features", _shortened(description.features))] if description.features else []),
        ("smallest input", format_number(description.minimum, digits=4)),
        ("largest input", format_number(description.maximum, digits=4)),
        ("mean input", format_number(description.mean, digits=4)),
        ("missing inputs", f"{description.missing:,}"),
        ("sealed for testing", f"{description.sealed:,}"),
        ("origin", description.origin),
    ]


def _shortened(names: list[str] | tuple[str, ...]) -> str:
    more = len(names) - _MANY
    return ", ".join(names[:_MANY]) + (f" and {more:,} more" if more > 0 else "")

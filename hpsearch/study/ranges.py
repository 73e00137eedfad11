"""Ranges of a search that were edited after trials had begun: the checks, and the ranges before and after."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias

from hpsearch.errors import Problem, UsageError
from hpsearch.study.messages import key_path, nearest, toml_excerpt
from hpsearch.study.objective import parameter_rule
from hpsearch.study.schema import violation
from hpsearch.study.search_space import dimension, dimension_problems
from hpsearch.study.spec import Choices, Dimension, Range, StudySpec, full_name

Bounds: TypeAlias = tuple[float | None, float | None]
"""The low and the high end of a range; None keeps the present one."""

_BOUNDS: Final = re.compile(r"([^=]+)=([^:]*):([^:]*)")
_FIXED_POINTS: Final = frozenset({"grid", "none"})
"""Samplers whose points follow from the ranges, so that an edit would change which of them trials had."""

_BOUND_BY_DATA: Final = "training.batch_size"
"""The field whose upper bound was checked against the data when the study was created."""


def parse_bounds(texts: Sequence[str]) -> dict[str, Bounds]:
    """Return name -> bounds of texts such as `learning_rate=1e-5:0.1`; an empty side keeps the present bound.

    Raises UsageError with every problem.
    """
    found: dict[str, Bounds] = {}
    problems = []
    for text in texts:
        match = _BOUNDS.fullmatch(text)
        try:
            name, *ends = match.groups() if match else ()
            low, high = (float(end) if end.strip() else None for end in ends)
        except ValueError:
            problems.append(
                f"--range: must be NAME=LOW:HIGH (got {toml_excerpt(text)}): write learning_rate=1e-5:0.1"
            )
            continue
        if name.strip() in found:
            problems.append(f"--range: must name each range once (got {name.strip()} twice): keep one")
        found[name.strip()] = (low, high)
    if problems:
        raise UsageError("\n".join(problems))
    return found


def checked_bounds(ranges: Mapping[str, object]) -> dict[str, Bounds]:
    """Return the bounds that a program gave. Raises UsageError, with every problem, for anything but pairs."""
    found: dict[str, Bounds] = {}
    problems = []
    for name, given in ranges.items():
        match given:
            case (None | int() | float() as low, None | int() | float() as high):
                found[name] = (low, high)
            case _:
                problems.append(
                    f"ranges: must be (low, high) by name (got {given!r} for {name!r}): write (1e-5, 0.1)"
                )
    if problems:
        raise UsageError("\n".join(problems))
    return found


def edited_ranges(spec: StudySpec, bounds: Mapping[str, Bounds]) -> dict[str, Range]:
    """Return name -> range with new `bounds`, for those that change. Raises UsageError with every problem.

    The kind of a range, its scale and its step stay, because Optuna stores them with every trial, and refuses a study
    that has a parameter of two kinds. Its condition stays too.
    """
    if bounds and spec.sampler.name in _FIXED_POINTS:
        raise UsageError(
            f'study edit: ranges must be sampled to be edited (got sampler.name = "{spec.sampler.name}", whose points '
            "follow from them): create another study"
        )
    problems: list[Problem] = []
    edited: dict[str, Range] = {}
    for name, ends in bounds.items():
        found = next((d for d in spec.search if full_name(d.name) == full_name(name)), None)
        wrong = _problems(spec, name, found, ends)
        problems += wrong
        if not wrong and isinstance(found, Range) and (new := _with_bounds(spec, found, ends)) != found:
            edited[found.name] = new
    if problems:
        raise UsageError("\n".join(map(str, problems)))
    return edited


def spanned_range(ranges: Iterable[Range]) -> Range:
    """Return the last of `ranges`, extended over all of them."""
    *_, last = ranges = list(ranges)
    return replace(last, low=min(one.low for one in ranges), high=max(one.high for one in ranges))


def _problems(spec: StudySpec, name: str, found: Dimension | None, ends: Bounds) -> list[Problem]:
    where = key_path("search", name)
    if found is None:
        names = [each.name for each in spec.search]
        near = nearest(name, names)
        hint = (
            f"did you mean {near}?"
            if near
            else f"choose one of {', '.join(names)}"
            if names
            else "leave it out"
        )
        return [Problem(where=where, message=f'must be searched by study "{spec.name}" (it is not): {hint}')]
    if isinstance(found, Choices):
        message = (
            f"must be a range to be edited (got choices: {', '.join(map(str, found.choices))}): Optuna refuses other"
            " choices for a parameter that trials already have; create another study, or narrow this one:"
            f" hpsearch study narrow {spec.name}"
        )
        return [Problem(where=where, message=message)]
    _, high = ends
    if full_name(found.name) == _BOUND_BY_DATA and high is not None and high > found.high:
        rule = f"must be at most {found.high:g}, which was checked against the data"
        return violation(f"{where}.high", rule, high, "create another study")
    return dimension_problems(where, parameter_rule(spec, found.name), _raw(found, ends))


def _with_bounds(spec: StudySpec, found: Range, ends: Bounds) -> Range:
    new = dimension(found.name, parameter_rule(spec, found.name), _raw(found, ends))
    assert isinstance(new, Range)
    return replace(new, integer=found.integer, when=found.when)


def _raw(found: Range, ends: Bounds) -> dict[str, Any]:
    """Return the range with other bounds as a study file writes it."""
    low, high = (old if new is None else new for old, new in zip((found.low, found.high), ends, strict=True))
    raw = {"low": low, "high": high, "log": found.log}
    if found.step is not None:
        raw["step"] = found.step
    whole = ("low", "high", "step") if found.integer else ()
    return {key: int(v) if key in whole and float(v).is_integer() else v for key, v in raw.items()}

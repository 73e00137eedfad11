"""Values, key paths, numbers and names as messages write them."""

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, time
from difflib import get_close_matches

from hpsearch.errors import Problem

_LONGEST = 60
"""Characters of a value that a message shows."""

_DEEPEST = 4
"""Levels of nested lists and tables that a message shows."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_.-]+")
"""Keys that need no quotes. They may contain dots: names under [search] have one."""


def toml_excerpt(raw: object) -> str:
    """Return `raw`, a value that tomllib read, as TOML writes it; long ones end in dots."""
    text = _written(raw, _DEEPEST)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def toml_text(raw: object) -> str:
    """Return all of `raw`, a value that tomllib read, as TOML writes it; very deep nesting ends in dots."""
    return _written(raw, _DEEPEST)


def key_path(*keys: str) -> str:
    """Return the path of a key, such as `search.model.activation.choices`."""
    return ".".join(_key(key) for key in keys)


def _key(key: object) -> str:
    if not isinstance(key, str):  # of a dictionary that a program passed
        return _scalar(key)
    return key if _BARE_KEY.fullmatch(key) else json.dumps(key, ensure_ascii=False)


def _written(raw: object, depth: int) -> str:
    match raw:
        case list() | tuple() | Mapping() if depth == 0:
            return "..."
        case list() | tuple():
            return f"[{', '.join(_written(item, depth - 1) for item in raw)}]"
        case Mapping():
            pairs = ", ".join(f"{_key(key)} = {_written(item, depth - 1)}" for key, item in raw.items())
            return f"{{ {pairs} }}" if pairs else "{}"
        case _:
            return _scalar(raw)


def _scalar(raw: object) -> str:
    match raw:
        case bool():
            return "true" if raw else "false"
        case int():
            # Python refuses to write out very long integers in decimal digits.
            return str(raw) if raw.bit_length() < 256 else hex(raw)
        case str():
            return json.dumps(raw, ensure_ascii=False)
        case date() | time():
            return raw.isoformat()
        case _:
            return repr(raw)


def format_number(value: float, *, digits: int = 2) -> str:
    """Return `value` with `digits` significant digits: 0.79, 0.0092, 9.5e-06, 1500."""
    if not math.isfinite(value):
        return nonfinite_words(value)
    rounded = float(f"{value:.{digits}g}")
    # `g` writes 1500 as 1.5e+03, an unusual form.
    return f"{rounded:.0f}" if 10**digits <= abs(rounded) < 1e6 else f"{rounded:.{digits}g}"


def nonfinite_words(value: float) -> str:
    """Return the word for a value that is not finite."""
    if math.isnan(value):
        return "NaN"
    return "infinite" if value > 0 else "minus infinite"


def format_size(size_bytes: float) -> str:
    """Return a size in its largest unit: `931 bytes`, `12.0 MiB`, `1,455.2 TiB`."""
    for unit, size in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size_bytes >= size:
            return f"{size_bytes / size:,.1f} {unit}"
    return f"{size_bytes:.0f} bytes"


def format_count(count: int, noun: str = "") -> str:
    """Return `1,234`, or with a noun `1,234 trials`, `1 trial`, `no trials`."""
    if not noun:
        return f"{count:,}"
    return f"{count or 'no':{',' if count else ''}} {noun}{'' if count == 1 else 's'}"


_LIKENESS = 0.65
"""Words with at least this difflib ratio count as a misspelling: "val_accuracy" does, "patience" does not."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the one of `known` that `word` most likely means, or None if none is similar.

    Case and hyphens do not count. Initials match both ways (`lr`, `mean_squared_error` for `mse`), and one part of
    three letters or more matches the whole (`init`, `accuracy`, `hidden_layers`) if only one fits.
    """
    plain = {_plain(name): name for name in known}
    given = _plain(word)
    exact = [name for name in plain if given in (name, _initials(name)) or name == _initials(given)]
    close = get_close_matches(given, plain, n=1, cutoff=_LIKENESS)
    parts = [name for name in plain if _is_part(given, name) or _is_part(name, given)]
    found = exact[:1] or close or (parts if len(parts) == 1 else [])
    return plain[found[0]] if found else None


def suggestion(raw: object, words: Sequence[str]) -> str:
    """Return `did you mean "relu"?` if one of `words` is similar to `raw`, else the empty text."""
    near = nearest(raw, words) if isinstance(raw, str) else None
    return "" if near is None else f"did you mean {toml_excerpt(near)}?"


def unknown_key(where: str, known: Sequence[str], *, near: str | None) -> Problem:
    """Return the problem of an unknown key: its similar one in `near`, else all that are `known`."""
    remedy = f"known are {', '.join(known)}" if near is None else f"did you mean {near}?"
    return Problem(where=where, message=f"unknown key; {remedy}")


def did_you_mean(name: str, known: Collection[str], *, otherwise: str) -> str:
    """Return `did you mean a or b?` with up to three that are spelt like `name`, or `otherwise` if there are none."""
    near = get_close_matches(name, known, n=3)
    return f"did you mean {' or '.join(near)}?" if near else otherwise


def _plain(word: str) -> str:
    return word.lower().replace("-", "_")


def _initials(name: str) -> str:
    """Return `lr` for `learning_rate`, and the word itself if it has one part only."""
    parts = name.split("_")
    return "".join(part[:1] for part in parts) if len(parts) > 1 else name


def _is_part(part: str, whole: str) -> bool:
    return len(part) >= 3 and part in whole


def remedy_for(given: str, known: Collection[str]) -> str:
    """Return `did you mean "x"?`, or, if no name is similar, the list of the known names."""
    near = nearest(given, known)
    return f'did you mean "{near}"?' if near else f"known are {', '.join(sorted(known))}"

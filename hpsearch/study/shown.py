"""Values and key paths as a study file writes them, for messages."""

import json
import re
from collections.abc import Mapping
from datetime import date, time

_LONGEST = 60
"""Characters of a value that a message shows."""

_DEEPEST = 4
"""Levels of nested lists and tables that a message shows."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_.-]+")
"""Keys that need no quotes. Dots belong to them: names under [search] have one."""


def shown(raw: object) -> str:
    """Return `raw`, a value that tomllib read, as TOML writes it; long ones end in dots."""
    text = _written(raw, _DEEPEST)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def written(raw: object) -> str:
    """Return all of `raw`, a value that tomllib read, as TOML writes it; what nests very deep ends in dots."""
    return _written(raw, _DEEPEST)


def key_path(*keys: str) -> str:
    """Return the path of a key, such as `search.model.activation.choices`."""
    return ".".join(_key(key) for key in keys)


def _key(key: str) -> str:
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

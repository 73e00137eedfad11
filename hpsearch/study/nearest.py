"""What somebody who wrote a word that we do not know may have meant."""

from collections.abc import Collection, Iterable
from difflib import get_close_matches

_LIKENESS = 0.65
"""From here on difflib's ratio of two words is a slip of the pen: "val_accuracy", not "patience"."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the one of `known` that `word` most likely stands for, or None where none is near.

    Case and hyphens do not count. Initials are found both ways (`lr`, `mean_squared_error` for `mse`), and
    one part of three letters or more for the whole (`init`, `accuracy`, `hidden_layers`) where only one fits.
    """
    plain = {_plain(name): name for name in known}
    given = _plain(word)
    exact = [name for name in plain if given in (name, _initials(name)) or name == _initials(given)]
    close = get_close_matches(given, plain, n=1, cutoff=_LIKENESS)
    parts = [name for name in plain if _is_part(given, name) or _is_part(name, given)]
    found = exact[:1] or close or (parts if len(parts) == 1 else [])
    return plain[found[0]] if found else None


def did_you_mean(name: str, known: Collection[str], *, otherwise: str) -> str:
    """Return `did you mean a or b?` with up to three that are spelt like `name`, or `otherwise` where none is."""
    near = get_close_matches(name, known, n=3)
    return f"did you mean {' or '.join(near)}?" if near else otherwise


def _plain(word: str) -> str:
    return word.lower().replace("-", "_")


def _initials(name: str) -> str:
    """Return `lr` for `learning_rate`, and the word itself where it has one part only."""
    parts = name.split("_")
    return "".join(part[:1] for part in parts) if len(parts) > 1 else name


def _is_part(part: str, whole: str) -> bool:
    return len(part) >= 3 and part in whole

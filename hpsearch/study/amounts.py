"""How numbers and sizes are written for people, in the messages and remedies of every stage."""

import math


def format_number(value: float, *, digits: int = 2) -> str:
    """Return `value` with `digits` significant digits: 0.79, 0.0092, 9.5e-06, 1500."""
    if not math.isfinite(value):
        return nonfinite_words(value)
    rounded = float(f"{value:.{digits}g}")
    # `g` writes 1500 as 1.5e+03, which nobody does.
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

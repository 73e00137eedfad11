"""The remedy for a name that is not known."""

from collections.abc import Collection

from hpsearch.study.nearest import nearest


def remedy_for(given: str, known: Collection[str]) -> str:
    """Return `did you mean "x"?`, or, where nothing is near, the list of the known names."""
    near = nearest(given, known)
    return f'did you mean "{near}"?' if near else f"known are {', '.join(sorted(known))}"

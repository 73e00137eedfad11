"""The study files that come with hpsearch, each known by its name."""

from importlib import resources
from pathlib import Path


def example_files() -> dict[str, Path]:
    """Return the example study files by name, sorted; empty if they are not installed.

    They are part of the installed package. In a source checkout they are in the folder next to the package.
    """
    package = Path(str(resources.files("hpsearch")))
    for folder in (package / "studies", package.parent / "studies"):
        if files := sorted(folder.glob("*.toml")):
            return {path.stem: path for path in files}
    return {}


def with_examples(path: Path) -> Path:
    """Return `path`, or the example of that name if `path` is a bare name and no such file exists."""
    if path.exists() or path.name != str(path):
        return path
    return example_files().get(str(path), path)

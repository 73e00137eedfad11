"""`hpsearch init`: copy the example study files to a folder, to read and change them."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from hpsearch.cli.output import answer


def init(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where to write them; made if it does not exist.")
    ] = Path("studies"),
) -> None:
    """Copy the example study files to a folder, to read, run and change them.

    Files that exist are not overwritten. An example also runs without a copy, by its name: hpsearch study run digits

    Example: hpsearch init studies
    """
    from hpsearch.errors import HpsearchError
    from hpsearch.study.files import example_files

    examples = example_files()
    if not examples:
        raise HpsearchError(
            "init: the example study files must be installed (got none): install hpsearch again"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = [name for name, path in examples.items() if _copy(path, folder / path.name)]
    except OSError as error:
        raise HpsearchError(
            f"FOLDER: must be a folder that can be written (got {folder}: {error.strerror}): name another one"
        ) from error
    kept = len(examples) - len(written)
    answer(
        f"{folder}: {len(written)} study files written"
        + (f", {kept} existed and are unchanged" if kept else "")
    )
    answer(f"Next: hpsearch study run {shlex.quote(str(folder / 'digits.toml'))}")


def _copy(source: Path, target: Path) -> bool:
    """Copy the file and return True, or return False if `target` exists."""
    try:
        with target.open("xb") as file:
            file.write(source.read_bytes())
    except FileExistsError:
        return False
    return True

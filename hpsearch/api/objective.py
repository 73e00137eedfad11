"""Training functions passed by a program: their names, by which workers import them."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, final

from hpsearch.errors import UsageError
from hpsearch.objective.trial import Objective

_HERE_ONLY: Final = "__main__"
"""The module of functions that no other process can import."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class NamedFunction:
    """The name of a training function, and the folder of its package. `function` is None if it was given by name."""

    name: str
    folder: Path | None = None
    function: Objective | None = None

    def table(self, direction: str | None) -> Mapping[str, Any]:
        """Return the table [objective] of a study file."""
        table: dict[str, Any] = {"function": self.name}
        if direction is not None:
            table["direction"] = direction
        if self.folder is not None:
            table["python_path"] = [str(self.folder)]
        return table


def named_function(objective: Objective | str) -> NamedFunction:
    """Return the name of a training function, given itself or by name.

    One that cannot be imported by its name, of a script, a notebook or another function, is `__main__:NAME`.
    """
    if isinstance(objective, str):
        return NamedFunction(name=objective)
    if not callable(objective):
        raise UsageError(
            f'objective: must be a function of a trial, or its name (got {objective!r:.80}): write "train:objective"'
        )
    module, path = getattr(objective, "__module__", ""), getattr(objective, "__qualname__", "")
    if module and path and module != _HERE_ONLY and _found(module, path) is objective:
        return NamedFunction(name=f"{module}:{path}", folder=_folder(module), function=objective)
    word = path.rpartition(".")[2] or type(objective).__name__
    return NamedFunction(
        name=f"{_HERE_ONLY}:{word if word.isidentifier() else 'function'}", function=objective
    )


def _found(module: str, path: str) -> Callable[..., Any] | None:
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    return found if _folder(module) is not None else None


def _folder(module: str) -> Path | None:
    """Return the folder in which the top package of a module is found; None if it has no file."""
    top = module.partition(".")[0]
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).absolute()
    return file.parent.parent if file.stem == "__init__" else file.parent

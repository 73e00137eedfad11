"""The public names: what `hpsearch` exports, what it costs, and what editors and type checkers see."""

import ast
import inspect
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

import hpsearch
from hpsearch.api import options
from hpsearch.study.schema import SECTIONS, words
from hpsearch.study.spec import DataSpec, ModelSpec, PruningSpec, SamplerSpec, TrainingSpec
from tests.api.test_docstrings import CLASSES, FUNCTIONS

MOST_SECONDS = 0.1
HEAVY = {"numpy", "optuna", "pandas", "plotly", "rich", "scipy", "sklearn", "sqlalchemy", "typer"}


def stub() -> ast.Module:
    """Return the declarations for type checkers."""
    return ast.parse(Path(hpsearch.__file__).with_suffix(".pyi").read_text())


def test_the_stub_declares_the_public_names() -> None:
    """Type checkers see the names that load, each from the module that it loads from."""
    declared = {
        alias.asname or alias.name: (str(node.module), alias.name)
        for node in stub().body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    (listed,) = (ast.literal_eval(node.value) for node in stub().body if isinstance(node, ast.Assign))
    assert sorted(declared) == sorted({*listed} - {"__version__"})
    assert sorted(listed) == sorted(hpsearch.__all__)
    assert hpsearch.errors.HpsearchError is hpsearch.HpsearchError
    for module in ("errors", "sklearn"):
        del declared[module]
    for name, (module, own_name) in declared.items():
        loaded = getattr(hpsearch, name)
        assert getattr(sys.modules[module], own_name) is loaded


def test_names_are_listed_and_others_are_not() -> None:
    """`dir` lists the public names; any other attribute is an AttributeError."""
    assert dir(hpsearch) == sorted(hpsearch.__all__)
    with pytest.raises(AttributeError, match="module 'hpsearch' has no attribute 'stduy'"):
        _ = hpsearch.stduy  # type: ignore[attr-defined]


def test_importing_is_cheap() -> None:
    """`import hpsearch` takes less than a tenth of a second and loads none of the libraries."""
    program = (
        "import sys, time; began = time.perf_counter(); import hpsearch; print(time.perf_counter() - began); "
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    runs = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        for _ in range(3)
    ]
    assert min(float(run.splitlines()[0]) for run in runs) < MOST_SECONDS
    assert HEAVY.isdisjoint(runs[0].splitlines()[1].split())


def functions() -> dict[str, Any]:
    """Return the public functions and methods, and the getters of properties, by dotted name."""
    found = {function.__name__: function for function in FUNCTIONS}
    for kind in CLASSES:
        for name, member in vars(kind).items():
            function = member.fget if isinstance(member, property) else member
            if inspect.isfunction(function) and not name.startswith("_"):
                found[f"{kind.__name__}.{name}"] = function
    return found


@pytest.mark.parametrize("name", functions())
def test_no_annotation_is_any(name: str) -> None:
    """Arguments and results are typed, so that editors complete them; only JSON has values of any type."""
    signature = inspect.signature(functions()[name])
    annotations = [
        parameter.annotation for parameter in signature.parameters.values() if parameter.name != "self"
    ]
    for annotation in (*annotations, signature.return_annotation):
        assert annotation is not inspect.Signature.empty
        text = annotation if isinstance(annotation, str) else str(annotation)
        assert "Any" not in text.replace("dict[str, typing.Any]", "JsonObject").replace(
            "numpy.dtype[typing.Any]", ""
        )


TABLES = {
    "data": (options.DataOptions, DataSpec),
    "model": (options.ModelOptions, ModelSpec),
    "training": (options.TrainingOptions, TrainingSpec),
    "sampler": (options.SamplerOptions, SamplerSpec),
    "pruning": (options.PruningOptions, PruningSpec),
}


@pytest.mark.parametrize("table", TABLES)
def test_the_options_are_the_keys_of_study_files(table: str) -> None:
    """The typed dictionaries have the keys of a study file's tables, with the same words."""
    typed, record = TABLES[table]
    hints, fields = get_type_hints(typed), get_type_hints(record)
    assert list(hints) == list(SECTIONS[table].rules)
    for name, hint in hints.items():
        if typing.get_origin(hint) is typing.Literal:
            assert words(hint) == words(fields[name])
        elif hint in (bool, int, float):
            assert hint in (fields[name], *get_args(fields[name]))

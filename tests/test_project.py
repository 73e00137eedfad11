"""The project itself: its files, single declarations, and the promises of the README."""

import ast
import itertools
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import threadpoolctl

import hpsearch

FOLDERS = {"docs", "hpsearch", "storage", "studies", "tests"}
FILES = re.compile(
    r"(README|LICENSE|NOTICE|CHANGELOG|CONTRIBUTING|CODE_OF_CONDUCT|SECURITY|AUTHORS)(\.(md|rst|txt))?"
    r"|CITATION\.cff|pyproject\.toml|uv\.lock|MANIFEST\.in|Dockerfile|Makefile|noxfile\.py|tox\.ini|mkdocs\.yml"
)
"""The files that a Python repository usually has at its top."""
FIRST_LINE = (
    "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/hpsearch study run studies/digits.toml"
)
SECOND_LINE = "bash tests/run"
LARGEST_PICTURE_BYTES = 150_000
TOOLS = (
    "distributed",
    "hatchling",
    "hypothesis",
    "import-linter",
    "ipykernel",
    "kubernetes-validate",
    "mlflow-skinny",
    "mypy",
    "nbclient",
    "nbformat",
    "onnx",
    "onnxruntime",
    "pandas",
    "playwright",
    "polars",
    "psutil",
    "psycopg2-binary",
    "pytest",
    "pytest-xdist",
    "ruff",
    "submitit",
    "tensorboardX",
)

# Modules that are called differently from the distribution they come from.
DISTRIBUTIONS = {
    "mlflow": "mlflow-skinny",
    "optuna_dashboard": "optuna-dashboard",
    "prometheus_client": "prometheus-client",
    "psycopg2": "psycopg2-binary",
    "sklearn": "scikit-learn",
}


@pytest.fixture(scope="module")
def pyproject(repository: Path) -> dict[str, Any]:
    """Return the contents of pyproject.toml."""
    return tomllib.loads((repository / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def tracked(repository: Path) -> list[Path]:
    """Return the files that git tracks or would add, relative to the repository."""
    git = shutil.which("git")
    if git is None or not (repository / ".git").exists():
        pytest.skip("not a git checkout, so nothing says which files belong to the project")
    command = [git, "-C", str(repository), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [Path(name) for name in listing.split("\0") if name]


def strays(tracked: Iterable[Path]) -> set[str]:
    """Return the names at the top level that a repository does not usually have."""
    visible = [path for path in tracked if not path.parts[0].startswith(".")]
    folders = {path.parts[0] for path in visible if len(path.parts) > 1}
    files = {path.name for path in visible if len(path.parts) == 1}
    return (folders - FOLDERS) | {name for name in files if not FILES.fullmatch(name)}


def test_nothing_stray_is_at_the_top_level(tracked: list[Path]) -> None:
    """The top level has our folders, the files that a repository usually has, and dot-files; no notes or results."""
    assert strays(tracked) == set()
    usual = ["CHANGELOG.md", "SECURITY.md", "uv.lock", ".github/x.yml", ".gitignore", "docs/index.md"]
    assert strays(map(Path, usual)) == set()
    stray = ["notes.md", "report.html", "README2.md", "scratch/x.py", "x.py", "LICENSE/x"]
    assert strays(map(Path, stray)) == {"notes.md", "report.html", "README2.md", "scratch", "x.py", "LICENSE"}


def test_nothing_that_was_made_is_kept(tracked: list[Path]) -> None:
    """No database, bytecode, environment or built package belongs to the project."""
    made = re.compile(r"(^|/)(__pycache__|\.venv[^/]*|dist|[^/]*\.egg-info)/|\.(db|db-wal|db-shm|pyc|whl)$")
    assert [path for path in tracked if made.search(path.as_posix())] == []


def test_the_version_is_one(pyproject: dict[str, Any]) -> None:
    """The package reports the version that it is published as."""
    assert hpsearch.__version__ == pyproject["project"]["version"]


def test_tools_are_pinned_once(pyproject: dict[str, Any], repository: Path, tracked: list[Path]) -> None:
    """Every tool has one exact version, and only pyproject.toml names it."""
    requirements = pyproject["project"]["optional-dependencies"]["test"]
    pinned = [requirement.split("==")[0] for requirement in requirements if "==" in requirement]
    assert sorted(pinned) == sorted(TOOLS)
    pin = re.compile(rf"\b({'|'.join(TOOLS)})[=~<>]=\s*\d")
    texts = [path for path in tracked if path.name != "pyproject.toml" and (repository / path).is_file()]
    assert [path for path in texts if pin.search((repository / path).read_text(errors="replace"))] == []


def third_party_imports(package: Path) -> Iterator[tuple[str, Path]]:
    """Yield the top-level name of every import in `package` that is neither Python's nor ours."""
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for name in names:
                top = name.split(".")[0]
                if top != "hpsearch" and top not in sys.stdlib_module_names:
                    yield top, path


def test_what_is_imported_is_declared(pyproject: dict[str, Any], repository: Path) -> None:
    """Every library that the package imports is declared in pyproject.toml, not installed by accident."""
    project = pyproject["project"]
    extras = project["optional-dependencies"].values()
    requirements = [*project["dependencies"], *itertools.chain.from_iterable(extras)]
    declared = {re.split(r"[\[<>=~!; ]", requirement)[0].lower() for requirement in requirements}
    imported = third_party_imports(repository / "hpsearch")
    assert {
        (name, path) for name, path in imported if DISTRIBUTIONS.get(name, name).lower() not in declared
    } == set()


def commands_of(readme: str) -> list[str]:
    """Return the lines of the README's blocks of shell commands."""
    blocks = re.findall(r"^```(?:sh|bash|shell)\n(.*?)^```$", readme, flags=re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


def test_the_readme_starts_with_the_two_lines(repository: Path) -> None:
    """The README's first two commands are the one that runs the main job and the one that tests."""
    assert commands_of((repository / "README.md").read_text())[:2] == [FIRST_LINE, SECOND_LINE]


def test_the_readme_has_no_gap(repository: Path) -> None:
    """No block of the README is a placeholder."""
    assert re.findall(r"^```\w+\n\s*```$", (repository / "README.md").read_text(), flags=re.MULTILINE) == []


def anchors_of(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_links_lead_somewhere(repository: Path, tracked: list[Path]) -> None:
    """Every relative link in Markdown names a file that exists, and every anchor a heading of it."""
    links = [
        (page, repository / page.parent / path if path else repository / page, anchor)
        for page in tracked
        if page.suffix == ".md"
        for path, anchor in re.findall(r"\]\(([^)#:\s]*)(?:#([^)\s]+))?\)", (repository / page).read_text())
    ]
    assert len(links) > 30
    assert [(page, target.name) for page, target, _ in links if not target.exists()] == []
    assert [
        (page, anchor) for page, target, anchor in links if anchor and anchor not in anchors_of(target)
    ] == []


def test_what_the_recipes_name_is_there(repository: Path) -> None:
    """Every path and every name of a table or class in CONTRIBUTING.md exists at the stated place."""
    text = (repository / ".github/CONTRIBUTING.md").read_text()
    named = re.findall(r"`([\w./-]+/[\w./-]*|\w+\.toml)`", text)
    assert len(named) > 20
    assert [path for path in named if not (repository / path).exists()] == []
    for name, path in re.findall(r"`(\w+)`(?:,? or)? (?:in|to) `(hpsearch/[\w/]+\.py)`", text):
        assert re.search(rf"\b{name}\b", (repository / path).read_text()), (name, path)


def test_the_pictures_are_small_and_shown(repository: Path, tracked: list[Path]) -> None:
    """Every file in `.pictures` is small, and shown once in a README with a description."""
    names = ("README.md", "studies/README.md", "tests/benchmarks/diagnosis/README.md")
    pages = "".join((repository / name).read_text() for name in names)
    shown = re.findall(r"!\[([^\]]+)\]\((?:\.\./)*(\.pictures/[^)]+)\)", pages)
    kept = [path.as_posix() for path in tracked if path.parts[0] == ".pictures"]
    assert sorted(kept) == sorted(path for _, path in shown)
    assert len(kept) == 4
    assert all(len(words.split()) > 10 for words, _ in shown)
    assert [path for path in kept if (repository / path).stat().st_size > LARGEST_PICTURE_BYTES] == []


def test_every_study_file_is_explained(repository: Path) -> None:
    """`studies/README.md` names every study file next to it."""
    studies = sorted(path.name for path in (repository / "studies").glob("*.toml"))
    assert "digits.toml" in studies
    explained = (repository / "studies/README.md").read_text()
    assert [name for name in studies if name not in explained] == []


@pytest.mark.parametrize("script", ["tests/run", ".ci/run"])
def test_the_scripts_are_bash(repository: Path, script: str) -> None:
    """The scripts parse, and can be started by name."""
    path = repository / script
    subprocess.run(["bash", "-n", str(path)], check=True)
    assert os.access(path, os.X_OK)


def test_a_test_cannot_reach_the_users_own(repository: Path) -> None:
    """A test's default database, home and current folder are temporary, and no variable points elsewhere."""
    database = Path(os.environ["HPSEARCH_STORAGE"].removeprefix("sqlite:///"))
    assert database.parent == Path.cwd()
    assert not database.exists()
    assert not Path.cwd().is_relative_to(repository)
    assert Path.home().parent in database.parents
    assert not {"OPTUNA_STORAGE", "HPSEARCH_MNIST"} & os.environ.keys()


def test_numpy_has_one_thread() -> None:
    """NumPy's BLAS runs with one thread in tests, as it does in a worker."""
    import numpy as np  # noqa: PLC0415 - loaded here, so that the libraries are there to be asked

    assert np.__version__
    threads = [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    if not threads:
        pytest.skip("this NumPy runs on a BLAS that threadpoolctl does not know")
    assert set(threads) == {1}

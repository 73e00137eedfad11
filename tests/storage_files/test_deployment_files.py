"""The files of `storage/`: what they say is true of hpsearch, whole, and free of passwords."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final
from zipfile import ZipFile

import pytest
import typer
import yaml  # type: ignore[import-untyped]  # Optuna brings PyYAML; its types are not worth another package

from hpsearch.cli.main import app
from hpsearch.storage.engine import BUSY_TIMEOUT_S
from hpsearch.worker.loop import LEASE_S
from hpsearch.worker.retry import LONGEST_OUTAGE_S

_YOURS: Final = ("secret.env", "study.toml")
"""Files that a kustomization names and its user makes."""

_COMPOSE: Final = ("postgres", "mariadb")

_FILLED_IN: Final = ("$", "%s", "password';")
"""How values begin that a shell, printf or psql puts in."""


@pytest.fixture(scope="module")
def folder(repository: Path) -> Path:
    """Return `storage/`."""
    return repository / "storage"


def _files(folder: Path) -> list[Path]:
    """Return every file of ours: databases, reports and what users make lie there too."""
    ours = {"README.md", ".gitignore"}
    below = [
        path
        for part in ("compose", "dask", "kubernetes", "systemd", "slurm")
        for path in (folder / part).rglob("*")
    ]
    files = [path for path in below if path.is_file() and path.name not in _YOURS and path.suffix != ".env"]
    return [path for path in files if path.name != ".env"] + [folder / name for name in sorted(ours)]


def _documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def _nodes(node: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every mapping in a document."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _nodes(child)


def _resources(folder: Path, kind: str) -> list[dict[str, Any]]:
    paths = [path for path in (folder / "kubernetes").rglob("*.yaml") if path.name != "kustomization.yaml"]
    return [document for path in paths for document in _documents(path) if document["kind"] == kind]


def _pods(folder: Path) -> list[Mapping[str, Any]]:
    """Return the pods of hpsearch itself."""
    jobs = [kind["spec"]["jobTargetRef"] for kind in _resources(folder, "ScaledJob")]
    kinds = [kind["spec"] for name in ("Deployment", "Job") for kind in _resources(folder, name)]
    return [spec["template"]["spec"] for spec in (*kinds, *jobs)]


def _containers(folder: Path) -> list[Mapping[str, Any]]:
    """Return the containers of hpsearch itself."""
    pods = _pods(folder)
    return [each for pod in pods for each in (*pod.get("initContainers", ()), *pod["containers"])]


def _commands(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield (file, arguments) of every call of hpsearch in the files."""
    for container in _containers(folder):
        yield "kubernetes", container["args"]
    calls = re.compile(r"(?:^|[\s/`'])hpsearch((?: +(?!\||&|\\|#|`|2>)[^\s`|&#]+)+)", re.MULTILINE)
    pages = (folder.parent / "README.md", folder.parent / "studies/README.md", folder / "README.md")
    for path in (*pages, *(folder / "systemd").iterdir(), *(folder / "slurm").iterdir()):
        for match in calls.finditer(path.read_text(encoding="utf-8").replace("${1:+--study", "--study")):
            words = re.sub(r"[\"'{}]", "", match.group(1))
            if words.split()[0] in _nouns():
                yield path.name, shlex.split(words)


@cache
def _command_line() -> Any:
    return typer.main.get_command(app)


def _nouns() -> set[str]:
    return set(_command_line().commands)


def _unknown(arguments: list[str]) -> list[str]:
    """Return those among the arguments that the command line lacks."""
    command = _command_line()
    words = list(arguments)
    while hasattr(command, "commands"):
        word = words.pop(0) if words else ""
        if word not in command.commands:
            return [" ".join(arguments)]
        command = command.commands[word]
    options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    return [word for word in words if word.startswith("--") and word not in options]


def test_the_command_line_knows_every_call(folder: Path) -> None:
    """Every command and every option that a file or a README uses exists."""
    calls = list(_commands(folder))
    assert {name for name, _ in calls} >= {
        "kubernetes",
        "README.md",
        "workers.sbatch",
        "hpsearch-worker@.service",
    }
    assert [(name, unknown) for name, arguments in calls if (unknown := _unknown(arguments))] == []


@pytest.mark.parametrize(
    "call", ["worker strat", "worker start --exit-when-idel", "storage", "nothing at all"]
)
def test_a_call_that_does_not_exist_is_seen(call: str) -> None:
    """The test above finds a wrong command, a wrong option, and a noun without its verb."""
    assert _unknown(call.split()) != []


def test_no_file_holds_a_password(folder: Path) -> None:
    """URLs have no password but a variable's or the word PASSWORD, and no setting gives one a value."""
    found = []
    for path in _files(folder):
        text = path.read_text(encoding="utf-8")
        in_urls = re.findall(r"//[^:/@\s]*:([^@\s]*)@", text)
        found += [(path.name, word) for word in in_urls if word not in ("PASSWORD", "$password")]
        settings = re.findall(r"(?<!\{)\b[A-Z_]*(?:PASSWORD|password)[\"']?\s*[:=]\s*[\"']?(\S+)", text)
        found += [(path.name, word) for word in settings if not word.startswith(_FILLED_IN)]
    assert found == []


@pytest.mark.parametrize("name", _COMPOSE)
def test_a_compose_file_wants_its_passwords_and_listens_here_only(folder: Path, name: str) -> None:
    """Passwords have no default, the port is bound to 127.0.0.1 by default, and data lie in a named volume."""
    document = _documents(folder / "compose" / f"{name}.yaml")[0]
    service = document["services"][name]
    passwords = [value for key, value in service["environment"].items() if key.endswith("PASSWORD")]
    assert len(passwords) == 2
    assert all(re.fullmatch(r"\$\{[A-Z_]+:\?[^}]+\}", value) for value in passwords)
    assert service["ports"][0].startswith("${HPSEARCH_BIND:-127.0.0.1}:")
    assert re.fullmatch(rf"{name}:\d+(\.\d+)?", service["image"])
    assert any(mount.startswith("data:") for mount in service["volumes"])
    assert "data" in document["volumes"]
    assert service["healthcheck"]["test"][0] == "CMD"


def test_compose_mounts_files_that_are_there(folder: Path) -> None:
    """A mount of a file that is missing would become an empty folder."""
    for name in _COMPOSE:
        service = _documents(folder / "compose" / f"{name}.yaml")[0]["services"][name]
        mounts = [mount.split(":")[0] for mount in service["volumes"] if mount.startswith(".")]
        assert all((folder / "compose" / mount).is_file() for mount in mounts)


def test_postgresql_is_set_up_alike_everywhere(folder: Path) -> None:
    """Compose and Kubernetes run one version with the same settings; finished trials wait for the disk."""
    compose = _documents(folder / "compose/postgres.yaml")[0]["services"]["postgres"]
    pod = _resources(folder, "StatefulSet")[0]["spec"]["template"]["spec"]["containers"][0]
    plain = [re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", setting) for setting in compose["command"]]
    assert pod["args"] == plain
    assert pod["image"] == compose["image"]
    assert "--synchronous_commit=on" in plain
    mariadb = _documents(folder / "compose/mariadb.yaml")[0]["services"]["mariadb"]["command"]
    assert "--innodb-flush-log-at-trx-commit=1" in mariadb


def test_the_servers_own_limits_are_those_that_workers_set(folder: Path) -> None:
    """With a pooler a worker's SET is lost, so the database sets the same limits."""
    for path in (folder / "kubernetes/postgres-user.sh", folder / "README.md"):
        for name in ("lock_timeout", "idle_in_transaction_session_timeout"):
            setting = f"ALTER ROLE hpsearch IN DATABASE hpsearch SET {name} = '{BUSY_TIMEOUT_S}s';"
            assert setting in path.read_text(encoding="utf-8")


def test_every_worker_has_one_core_one_thread_and_time_to_drain(folder: Path) -> None:
    """A container of hpsearch gets its URL from the Secret, one core, one thread and no rights."""
    for container in _containers(folder):
        environment = {variable["name"]: variable for variable in container["env"]}
        assert "secretKeyRef" in environment["HPSEARCH_STORAGE"]["valueFrom"]
        assert environment["OPENBLAS_NUM_THREADS"]["value"] == "1"
        assert container["resources"]["limits"]["cpu"] == "1"
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
    pods = _pods(folder)
    assert len(pods) == 3
    assert all(pod["terminationGracePeriodSeconds"] >= 10 for pod in pods)
    assert all(pod["securityContext"]["runAsNonRoot"] for pod in pods)


def test_kustomizations_name_what_is_there(folder: Path) -> None:
    """Files exist but for those that users make; what pods want is made; every image of ours gets its place."""
    made, wanted, images = set(), set(), set()
    for path in (folder / "kubernetes").rglob("kustomization.yaml"):
        document = _documents(path)[0]
        generators = [*document.get("secretGenerator", ()), *document.get("configMapGenerator", ())]
        named = [*document["resources"], *(name for each in generators for name in each.get("files", ()))]
        assert [name for name in named if name not in _YOURS and not (path.parent / name).is_file()] == []
        made |= {each["name"] for each in generators}
        images |= {image["name"] for image in document["images"]}
        for resource in document["resources"]:
            nodes = [node for each in _documents(path.parent / resource) for node in _nodes(each)]
            wanted |= {node["secretKeyRef"]["name"] for node in nodes if "secretKeyRef" in node}
            wanted |= {node["configMap"]["name"] for node in nodes if "configMap" in node}
    assert wanted == made
    assert {container["image"] for container in _containers(folder)} == images


def test_the_image_is_built_from_what_is_there(folder: Path, repository: Path) -> None:
    """The Dockerfile copies files that exist and are let in, and asks for extras and a Python that we have."""
    text = (folder / "kubernetes/Dockerfile").read_text(encoding="utf-8")
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    copied = [
        name for line in re.findall(r"^COPY (?!--)(.*) \S+$", text, re.MULTILINE) for name in line.split()
    ]
    let_in = (folder / "kubernetes/Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert copied
    assert [name for name in copied if f"!{name}" not in let_in or not (repository / name).exists()] == []
    extras = re.findall(r'"\.\[([\w,]+)\]"', text)[0].split(",")
    assert set(extras) <= set(project["optional-dependencies"])
    versions = set(re.findall(r"^FROM python:(\d+\.\d+)-slim", text, re.MULTILINE))
    assert versions == {project["requires-python"].removeprefix(">=")}


def test_the_image_builds_and_runs(folder: Path, repository: Path, tmp_path: Path) -> None:
    """A wheel is built from the files that the Dockerfile copies, and nothing else, and runs an example from it."""
    text = (folder / "kubernetes/Dockerfile").read_text(encoding="utf-8")
    source = tmp_path / "source"
    source.mkdir()
    for names, target in re.findall(r"^COPY (?!--)(.*) (\S+)$", text, re.MULTILINE):
        for name in names.split():
            _copy(repository / name, source / target / name if target.endswith("/") else source / target)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)],
        cwd=source,
        capture_output=True,
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    command = [sys.executable, "-m", "hpsearch", "study", "create", "digits", "--dry-run"]
    # Python imports from the wheel itself, but example files are files, so it is unpacked.
    with ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    ended = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("study                 digits\n")


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    else:
        shutil.copy(source, target)


def test_the_readme_tells_times_and_files_as_they_are(folder: Path) -> None:
    """Its links lead somewhere, and its lease and its patience are those of the code."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert [link for link in links if not _leads_somewhere(folder, link)] == []
    assert f"leases run out after {LEASE_S:.0f} s" in text
    assert f"up to {LONGEST_OUTAGE_S / 60:.0f} minutes" in text


def _leads_somewhere(folder: Path, link: str) -> bool:
    """Return True if a link of the README in `folder` leads to a file, and to a heading if it names one."""
    name, _, heading = link.partition("#")
    path = folder / (name or "README.md")
    if not heading or not path.is_file():
        return path.exists()
    titles = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return heading in {re.sub(r"[^\w-]", "", title.lower().replace(" ", "-")) for title in titles}

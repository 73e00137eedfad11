"""Checkpoints of trials of the built-in network: files with which another attempt goes on to the same bits.

A trial has one file, `NUMBER.npz`, written under another name and renamed. Nothing depends on it: a trial whose file is
missing, damaged, or of another configuration, data or software begins again.
"""

import json
import os
import platform
import time
import zipfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, final

import numpy as np
from threadpoolctl import threadpool_info

import hpsearch
from hpsearch.errors import StorageError
from hpsearch.nn.arrays import Array
from hpsearch.storage.payloads import pack_finding, unpack_finding
from hpsearch.storage.records import StoredStudy
from hpsearch.study.spec import Configuration
from hpsearch.telemetry import Epoch, LayerSample, NonFinite, Sample
from hpsearch.training.row import RowState
from hpsearch.verdicts import Finding

CHECKPOINT_VARIABLE: Final = "HPSEARCH_CHECKPOINTS"
"""The environment variable that names the folder of checkpoints, for workers that share a disk."""

EVERY_S: Final = 1.0
"""Seconds between two checkpoints of a trial: epochs that take longer have one each."""

COST_SHARE: Final = 0.02
"""Share of a worker's time that checkpoints may take: with many large networks they become rarer."""

FINAL_WITHIN_S: Final = 1.0
"""Seconds for the checkpoints of a worker that stops, which must end within 5 s in all."""

_FORMAT: Final = 1
_HEADER: Final = "header"
_SUFFIX: Final = ".npz"
_STALE_S: Final = 3600.0
"""Age of an unfinished file whose writer has certainly ended."""

_DAMAGE: Final = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    EOFError,
    StorageError,
    zipfile.BadZipFile,
)
_NUMBERS: Final = tuple(one.name for one in fields(Sample) if one.name != "layers")
_OF_A_LAYER: Final = tuple(one.name for one in fields(LayerSample))
_WHOLE: Final = frozenset({"step", "examples", "batch_examples"})


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Checkpoint:
    """A trial in training: the state of each of its trainings, none for a new one, and its worker's records of it.

    `values` are the study's metric by epoch; `audited` is the finding that would have stopped an audited trial. `begun`
    is the number of epochs begun; `kept` maps attempts at the trial to how many of theirs are among them.
    """

    states: tuple[RowState, ...] = ()
    values: tuple[float, ...] = ()
    audited: Finding | None = None
    begun: int = 0
    kept: Mapping[int, int] = field(default_factory=dict)

    @property
    def epochs(self) -> int:
        """The number of finished epochs."""
        return len(self.values)


def checkpoint_folder(study: StoredStudy, folder: Path) -> Path:
    """Return the folder of a study's checkpoints: in `folder`, that of its database, unless a variable names one."""
    named = os.environ.get(CHECKPOINT_VARIABLE)
    return (Path(named).absolute() if named else folder / "checkpoints") / study.key


def remove_checkpoints(folder: Path, numbers: Collection[int] | None = None) -> None:
    """Remove the checkpoints of trials, or of all; the folders of training functions stay, which are the users'."""
    chosen: Iterable[Path] = (
        folder.glob(f"*{_SUFFIX}") if numbers is None else [_path(folder, number) for number in numbers]
    )
    try:
        for path in chosen:
            path.unlink(missing_ok=True)
        if numbers is None:
            folder.rmdir()
    except OSError:  # a folder with other files, or one that may not be written: nothing depends on it
        return


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number}{_SUFFIX}"


@final
class Checkpoints:
    """Writes and reads the checkpoints of one study on this machine.

    `notify` receives why one cannot be used. Once one cannot be written, there are no more.
    """

    def __init__(
        self,
        study: StoredStudy,
        folder: Path,
        *,
        every_s: float = EVERY_S,
        notify: Callable[[str], None],
    ) -> None:
        self._study = study
        self._folder = checkpoint_folder(study, folder)
        self._every_s = every_s
        self._notify = notify
        self._software: Mapping[str, Any] | None = None
        self._saved_at: dict[int, float] = {}
        self._files: set[int] = set()
        self._began_s = time.monotonic()
        self._spent_s = 0.0
        self._is_off = False

    def begin(self, number: int) -> None:
        """Begin to measure the time until the first checkpoint of trial `number`."""
        self._saved_at[number] = time.monotonic()

    def due(self, numbers: Iterable[int]) -> list[int]:
        """Return those of the trials that should have a checkpoint now, the one with the oldest first."""
        now_s = time.monotonic()
        is_costly = self._every_s and self._spent_s > COST_SHARE * (now_s - self._began_s)
        if self._is_off or is_costly:
            return []
        found = [n for n in numbers if now_s - self._saved_at.get(n, now_s) >= self._every_s]
        return sorted(found, key=lambda n: self._saved_at[n])

    def save(self, number: int, configuration: Configuration, checkpoint: Checkpoint) -> None:
        """Write the checkpoint of trial `number`."""
        if self._is_off or not checkpoint.states:
            return
        began_s = time.monotonic()
        try:
            self._write(number, configuration, checkpoint)
            self._files.add(number)
        except OSError as error:
            self._is_off = True
            self._notify(f"checkpoints cannot be written to {self._folder}: {error}: lost trials begin again")
        now_s = self._saved_at[number] = time.monotonic()
        self._spent_s += now_s - began_s

    def load(self, number: int, configuration: Configuration) -> Checkpoint | None:
        """Return the checkpoint of trial `number`; None if there is none that can be used."""
        path = _path(self._folder, number)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
                self._files.add(number)
                header = json.loads(found[_HEADER].tobytes())
                if reason := _difference(header, self._dependencies(number, configuration)):
                    self._notify(f"trial {number}: its checkpoint has {reason}: it begins again")
                    return None
                return _checkpoint(header, found)
        except FileNotFoundError:
            return None
        except _DAMAGE as error:
            self._notify(f"trial {number}: its checkpoint {path} cannot be read ({error}): it begins again")
            return None

    def forget(self, numbers: Iterable[int]) -> None:
        """Remove the checkpoints of trials that have ended."""
        ended = self._files.intersection(numbers)
        self._files -= ended
        if ended:
            remove_checkpoints(self._folder, ended)

    def sweep(self, finished: Callable[[], Collection[int]]) -> None:
        """Remove the files of trials that have `finished` without their worker, and of writers that were killed."""
        try:
            numbers = {int(path.stem) for path in self._folder.glob(f"*{_SUFFIX}") if path.stem.isdecimal()}
            for path in self._folder.glob("*.tmp"):
                if time.time() - path.stat().st_mtime > _STALE_S:
                    path.unlink(missing_ok=True)
        except OSError:
            return
        if numbers:
            remove_checkpoints(self._folder, numbers.intersection(finished()))

    def _write(self, number: int, configuration: Configuration, checkpoint: Checkpoint) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        header = {
            "fits": self._dependencies(number, configuration),
            "values": checkpoint.values,
            "audited": None if checkpoint.audited is None else pack_finding(checkpoint.audited),
            "begun": checkpoint.begun,
            "kept": list(checkpoint.kept.items()),
            "rows": [_row(state) for state in checkpoint.states],
        }
        arrays = {
            f"{place}.{name}": array
            for place, state in enumerate(checkpoint.states)
            for name, array in {**state.arrays, **_samples(state.samples)}.items()
        }
        text = np.frombuffer(json.dumps(header).encode(), np.uint8)
        unfinished = self._folder / f"{number}.{platform.node()}.{os.getpid()}.tmp"
        try:
            with unfinished.open("wb") as file:
                np.savez(file, allow_pickle=False, **{_HEADER: text}, **arrays)
            unfinished.replace(_path(self._folder, number))
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise

    def _dependencies(self, number: int, configuration: Configuration) -> Mapping[str, Any]:
        """Return all that the numbers of a trial depend on, by its name in messages."""
        if self._software is None:
            self._software = software()
        described = {
            "format": _FORMAT,
            "trial": number,
            "data": self._study.fingerprint,
            "seed": self._study.spec.seed,
            "metric": self._study.spec.metric,
            "configuration": asdict(configuration),
            "software": self._software,
        }
        plain: Mapping[str, Any] = json.loads(json.dumps(described))
        return plain


def _difference(header: Mapping[str, Any], here: Mapping[str, Any]) -> str | None:
    """Return in words what differs from a trial `here`, None if nothing does."""
    stored = header["fits"]
    return next((f"another {name}" for name in here if stored.get(name) != here[name]), None)


def software() -> Mapping[str, Any]:
    """Return the versions, the machine and the BLAS kernels that decide about the last bits.

    Other libraries may bring a BLAS of their own, loaded or not: on one machine it has the same kernels as NumPy's.
    """
    build: Any = np.show_config(mode="dicts")
    blas = build.get("Build Dependencies", {}).get("blas", {})
    loaded = [one.get("architecture") for one in threadpool_info() if one.get("user_api") == "blas"]
    return {
        "hpsearch": hpsearch.__version__,
        "numpy": np.__version__,
        "machine": platform.machine(),
        "blas": [blas.get("name"), blas.get("version")],
        "kernels": sorted({str(kernels) for kernels in loaded}),
    }


def _row(state: RowState) -> Mapping[str, Any]:
    """Return the numbers of a state that are no arrays; JSON keeps every bit of a float, NaN and infinity included."""
    return {
        "age": state.age,
        "next_sample_at": state.next_sample_at,
        "alarms": state.alarms,
        "loss_sum": state.loss_sum,
        "dropout": state.dropout,
        "epochs": [asdict(epoch) for epoch in state.epochs],
        "nonfinite": None if state.nonfinite is None else asdict(state.nonfinite),
    }


def _samples(samples: Sequence[Sample]) -> Mapping[str, Array]:
    """Return samples as arrays: the numbers (n, F) of each, and (n, L, 6) of its layers."""
    return {
        "samples": np.array([[getattr(one, name) for name in _NUMBERS] for one in samples], np.float64),
        "layers": np.array([[astuple(layer) for layer in one.layers] for one in samples], np.float64),
    }


def _checkpoint(header: Mapping[str, Any], arrays: Mapping[str, Array]) -> Checkpoint:
    """Return the checkpoint of a file. Raises the errors of `_DAMAGE`."""
    found = [name.partition(".") for name in arrays if name != _HEADER]
    rows = [
        {name: arrays[f"{at}.{name}"] for at, _, name in found if at == str(place)}
        for place in range(len(header["rows"]))
    ]
    return Checkpoint(
        states=tuple(_state(raw, own) for raw, own in zip(header["rows"], rows, strict=True)),
        values=tuple(map(float, header["values"])),
        audited=None if header["audited"] is None else unpack_finding(header["audited"]),
        begun=int(header["begun"]),
        kept={int(attempt): int(epochs) for attempt, epochs in header["kept"]},
    )


def _state(raw: Mapping[str, Any], arrays: dict[str, Array]) -> RowState:
    samples = _read_samples(arrays.pop("samples"), arrays.pop("layers"))
    nonfinite = None if raw["nonfinite"] is None else NonFinite(**raw["nonfinite"])
    epochs = tuple(Epoch(**epoch) for epoch in raw["epochs"])
    return RowState(**{**raw, "epochs": epochs, "nonfinite": nonfinite, "samples": samples, "arrays": arrays})


def _read_samples(numbers: Array, layers: Array) -> tuple[Sample, ...]:
    made = []
    for row, own in zip(numbers.tolist(), layers.tolist(), strict=True):
        named = dict(zip(_NUMBERS, row, strict=True))
        whole = {name: int(named[name]) for name in _WHOLE}
        found = [LayerSample(**dict(zip(_OF_A_LAYER, layer, strict=True))) for layer in own]
        made.append(Sample(**{**named, **whole}, layers=tuple(found)))
    return tuple(made)

"""Studies and diagnoses of arrays and data frames that a program holds."""

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import hpsearch
from hpsearch.api.data import study_data
from hpsearch.data.stored_arrays import is_stored
from hpsearch.errors import FingerprintError
from hpsearch.storage.store import open_store

STORAGE = "sqlite:///lab.db"
RANDOM = np.random.Generator(np.random.PCG64(5))
X = RANDOM.normal(size=(200, 3))
Y = (X.sum(axis=1) > 0).astype(int)
NAMES = ["width", "height", "depth"]


def small_study(data: Any, *, name: str = "mine", storage: str = STORAGE, **others: Any) -> hpsearch.Study:
    """Return a study of two short trials on `data`."""
    return hpsearch.create_study(
        name=name,
        data=data,
        model={"hidden": [4]},
        training={"epochs": 2},
        search={"learning_rate": hpsearch.Range(0.05, 0.5, log=True)},
        trials=2,
        storage=storage,
        **others,
    )


def source_of(study: hpsearch.Study) -> str:
    """Return the study's `data.source` in the database."""
    with open_store(STORAGE) as store:
        return store.studies.get(study.name).spec.data.source


def frame_of(kind: Any) -> Any:
    """Return the data as a data frame with a column of text as target."""
    columns: dict[str, Any] = dict(zip(NAMES, X.T, strict=True))
    return kind({**columns, "size": ["large" if one else "small" for one in Y]})


def test_workers_train_on_arrays(tmp_path: Path) -> None:
    """Arrays are written next to the database, and worker processes read them; the study can be resumed by name."""
    study = small_study((X, Y))
    assert source_of(study) == str(next((tmp_path / "data").iterdir()))
    assert study.run(workers=1, progress=False).progress.complete == 2
    assert (
        hpsearch.load_study("mine", storage=STORAGE).run(3, workers=1, progress=False).progress.complete == 3
    )
    assert study.best_trial.replay().identical


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_workers_train_on_data_frames(kind: Any) -> None:
    """A data frame of pandas or polars is data with the names of its columns and classes."""
    study = small_study(frame_of(kind), target="size")
    assert study.run(workers=1, progress=False).progress.complete == 2
    with np.load(source_of(study)) as stored:
        assert stored["features"].tolist() == NAMES
        assert set(stored["y"].tolist()) == {"large", "small"}


def test_other_keys_of_the_data_go_with_arrays() -> None:
    """The source in a table of keys may be arrays, so a test part, the scale and the task can be set."""
    study = small_study(
        {"source": (X, Y * 2.5), "scale": "standard", "test_fraction": 0.2, "task": "regression"}
    )
    assert study.metric == "rmse"
    assert study.run(workers=1, progress=False).test(seeds=2).values


def test_arrays_replace_the_data_of_a_file(tmp_path: Path) -> None:
    """A study file's own source and target give way to arrays; its other keys stay."""
    (tmp_path / "houses.toml").write_text(
        'name = "houses"\n[data]\nsource = "houses.csv"\ntarget = "price"\nscale = "standard"\n'
    )
    study = hpsearch.create_study("houses.toml", data=(X, Y), trials=1, storage=STORAGE)
    with open_store(STORAGE) as store:
        data = store.studies.get(study.name).spec.data
    assert (is_stored(data.source), data.target, data.scale) == (True, None, "standard")


def test_a_study_of_the_same_arrays_is_the_same(tmp_path: Path) -> None:
    """The same call returns the stored study; other arrays under its name are refused; the file is shared."""
    small_study((X, Y)).run(workers=1, progress=False)
    assert small_study((X.copy(), Y.tolist())).progress.complete == 2
    small_study((X, Y), name="second")
    small_study((X, Y), storage="sqlite:///other.db")
    assert len(list((tmp_path / "data").iterdir())) == 1
    with pytest.raises(hpsearch.StudyExistsError, match="fingerprint"):
        small_study((X + 1e-6, Y))


def test_problems_of_arrays_store_nothing(tmp_path: Path) -> None:
    """Wrong arrays, and a wrong study with good arrays, leave no file and no study."""
    with pytest.raises(hpsearch.DataError, match="data: 2 problems"):
        small_study((np.full((5, 2), np.nan), Y))
    with pytest.raises(hpsearch.StudyFileError, match="seed"):
        small_study((X, Y), seed=-1)
    assert not (tmp_path / "data").exists()


def test_the_folder_of_arrays_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HPSEARCH_DATA names the folder; for a database on a server the default is `storage/data`."""
    given = study_data((X, Y), target=None, storage="postgresql://ann@db.example/trials")
    assert given.folder == tmp_path / "storage" / "data"
    monkeypatch.setenv("HPSEARCH_DATA", str(tmp_path / "shared"))
    assert Path(source_of(small_study((X, Y)))).parent == tmp_path / "shared"


def test_missing_and_changed_arrays_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its file a study names the remedy, which works; a file with other numbers is refused."""
    study = small_study((X, Y))
    file = Path(source_of(study))
    file.parent.rename(tmp_path / "moved")
    with pytest.raises(hpsearch.DataError, match=f"got no file {file}.*set HPSEARCH_DATA to that folder"):
        study.run(workers=1, progress=False)
    monkeypatch.setenv("HPSEARCH_DATA", str(tmp_path / "moved"))
    assert study.run(workers=1, progress=False).progress.complete == 2
    np.savez(tmp_path / "moved" / file.name, x=X + 1, y=Y)
    with pytest.raises(FingerprintError, match="restore the data"):
        study.run(3, workers=1, progress=False)


def test_a_deleted_study_leaves_its_arrays(caplog: pytest.LogCaptureFixture) -> None:
    """The file stays, and is named once no other study of the database uses it."""
    file = Path(source_of(small_study((X, Y))))
    small_study((X, Y), name="second")
    with caplog.at_level(logging.INFO, "hpsearch"):
        hpsearch.delete_study("second", storage=STORAGE)
        assert "The data stays" not in caplog.text
        hpsearch.delete_study("mine", storage=STORAGE)
    assert f"The data stays: {file}; delete the file if no other database needs it" in caplog.text
    assert file.is_file()


def test_a_diagnosis_of_arrays_writes_nothing(tmp_path: Path) -> None:
    """Arrays and data frames are diagnosed in memory, and the remedy is tried on the same data."""
    diagnosis = hpsearch.diagnose(X, Y, hidden=[8], learning_rate=1e-7, epochs=60)
    assert diagnosis.cause == "lr_too_low"
    assert diagnosis.with_remedy().evidence != diagnosis.evidence
    assert diagnosis.curves["loss"]
    again = hpsearch.diagnose(
        data=frame_of(pl.DataFrame), target="size", hidden=[8], learning_rate=1e-7, epochs=60
    )
    assert again.cause == "lr_too_low"
    assert list(tmp_path.iterdir()) == []


def test_inputs_need_targets() -> None:
    """Inputs alone are refused, with what to add."""
    with pytest.raises(hpsearch.UsageError, match="got a ndarray alone"):
        hpsearch.diagnose(X)  # type: ignore[call-overload]
    with pytest.raises(hpsearch.UsageError, match="name of a column"):
        small_study(frame_of(pd.DataFrame), target=3)


LIGHT = """
import sys
import numpy as np
import hpsearch

x, y = np.random.default_rng(1).normal(size=(200, 2)), np.arange(200) % 2
study = hpsearch.create_study(name="light", data=(x, y), trials=1, storage="sqlite:///light.db")
study.run(workers=1)
study._repr_html_()
hpsearch.diagnose(x, y, epochs=2)
print(sorted({"IPython", "pandas", "polars", "plotly"} & sys.modules.keys()))
"""


def test_no_other_library_is_imported() -> None:
    """Data frames, notebooks and cards need no import of pandas, polars, IPython or Plotly."""
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


TYPED = """
import numpy as np
import pandas as pd
import polars as pl

import hpsearch

x, y = np.ones((9, 2), np.float32), np.arange(9)
frame = pl.DataFrame({"x": [1.0], "y": [0]})
hpsearch.create_study(name="a", data=(x, y))
hpsearch.create_study(name="a", data=(x, ["a", "b"]))
hpsearch.create_study(name="a", data=([[1.0]], y))
hpsearch.create_study(name="a", data=frame, target="y")
hpsearch.create_study(name="a", data=(frame, frame["y"]))
hpsearch.create_study(name="a", data=pd.DataFrame({"x": [1.0]}), target="y")
hpsearch.create_study(name="a", data={"source": (x, y), "scale": "standard"})
hpsearch.create_study(name="a", data={"source": frame, "target": "y"})
hpsearch.diagnose(x, y, learning_rate=0.1)
hpsearch.diagnose(frame, frame["y"], learning_rate=0.1)
hpsearch.diagnose(data=frame, target="y")
hpsearch.create_study(name="a", data=5)  # wrong
hpsearch.create_study(name="a", data=(x, y, y))  # wrong
hpsearch.create_study(name="a", data=pl.LazyFrame({"x": [1]}))  # wrong
hpsearch.create_study(name="a", data={"source": (x, y), "scales": "standard"})  # wrong
"""


def test_type_checkers_know_arrays_and_data_frames(tmp_path: Path, repository: Path) -> None:
    """`mypy --strict` accepts arrays, lists and data frames as data, and refuses anything else."""
    (tmp_path / "typed.py").write_text(TYPED)
    wrong = [i for i, line in enumerate(TYPED.splitlines(), start=1) if "# wrong" in line]
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(repository / "pyproject.toml")]
    checked = subprocess.run(
        [*command, str(tmp_path / "typed.py")], cwd=repository, capture_output=True, text=True, check=False
    )
    lines = [line for line in checked.stdout.splitlines() if "typed.py" in line and ": error:" in line]
    assert [int(line.split(":")[1]) for line in lines] == wrong, checked.stdout


def test_a_raw_table_becomes_predictions() -> None:
    """Text, dates and missing cells of a data frame train a study in worker processes, and predict again."""
    frame = pd.DataFrame(
        {
            "id": [f"C{i}" for i in range(300)],
            "city": ["Oslo", "Rome", None] * 100,
            "age": [None if i % 11 == 0 else 20 + i % 60 for i in range(300)],
            "joined": pd.to_datetime("2020-01-01") + pd.to_timedelta(range(300), unit="D"),
            "kind": ["stay" if i % 3 == 0 or i % 60 > 40 else "leave" for i in range(300)],
        }
    )
    study = small_study({"source": frame, "columns": {"age": {"transform": "log"}}}, target="kind")
    model = study.run(workers=1, progress=False).best_trial.model()
    assert model.columns == ("city", "age", "joined")
    assert {"city=Oslo", "city missing", "age missing", "joined weekday"} <= set(model.features)
    assert (model.predict(frame) == frame["kind"]).mean() > 0.5
    assert model.predict([{"city": "Paris", "age": 30, "joined": "2020-05-01"}]).shape == (1,)


def test_columns_of_arrays_are_dropped_by_the_program() -> None:
    """`drop` is for tables in files: arrays and data frames come without the columns that nothing shall learn from."""
    with pytest.raises(
        hpsearch.DataError, match=r'data\.drop: is for tables in files \(got "a" with arrays\)'
    ):
        small_study({"source": (X, Y), "drop": ["a"]})

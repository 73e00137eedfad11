"""The state of CMA-ES is stored as numbers, and no pickle of a database is ever loaded."""

import math
import pickle
import random
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import cmaes
import numpy as np
import pytest

from hpsearch.search.cmaes_state import (
    ATTRIBUTE,
    PICKLE,
    from_json,
    from_pickle,
    plain_state,
    to_json,
    to_pickle,
    with_plain_pickles,
    without_pickles,
)
from hpsearch.search.searcher import Searcher
from hpsearch.study.spec import SamplerSpec, StudySpec
from hpsearch.trials import ParameterValue, Trial, TrialState

SpecOf = Callable[..., StudySpec]

PIECE: Final = 2045


class Evil:
    """Runs code when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self._path,)


def pieces(content: bytes, prefix: str = PICKLE) -> dict[str, str]:
    """Return the attributes in which Optuna keeps a pickle."""
    text = content.hex()
    return {f"{prefix}:{i // PIECE}": text[i : i + PIECE] for i in range(0, len(text), PIECE)}


def optimizer(kind: Any = cmaes.CMA, count: int = 2, **known: Any) -> Any:
    """Return an optimizer after two generations."""
    bounds = np.tile([0.0, 1.0], (count, 1))
    made = kind(mean=np.full(count, 0.5), sigma=1 / 6, bounds=bounds, seed=1, **known)
    for _ in range(2):
        asked = [made.ask() for _ in range(made.population_size)]
        told = [(x[1] if isinstance(x, tuple) else x) for x in asked]
        made.tell([(x, float(np.sum((x - 0.3) ** 2))) for x in told])
    return made


def value(params: Mapping[str, ParameterValue]) -> float:
    """Return the value of a trial with these parameters."""
    return -abs(math.log10(float(params["learning_rate"])) + 2)


def run(
    searcher: Searcher, numbers: range, *, kept: Callable[[int, dict[str, Any]], dict[str, Any]]
) -> list[Trial]:
    """Run trials one after the other; return them with the attributes that `kept` makes of the suggested ones."""
    trials = []
    for number in numbers:
        suggestion = searcher.suggest(number)
        trials.append(
            Trial(
                number=number,
                state=TrialState.COMPLETE,
                params=suggestion.params,
                value=value(suggestion.params),
                steps=10,
                system_attributes=kept(number, dict(suggestion.system_attributes)),
            )
        )
        searcher.learn(trials[-1:])
    return trials


@pytest.fixture
def spec(spec_of: SpecOf) -> StudySpec:
    """Return a study whose sampler learns from the first trial on."""
    return spec_of("cmaes", sampler=SamplerSpec(name="cmaes", startup_trials=0))


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_search_resumes_from_numbers_and_from_pickles(spec: StudySpec, protocol: int) -> None:
    """After a resume every parameter is bit-identical, whether our numbers or Optuna's pickles were stored."""

    def as_optuna(_: int, attributes: dict[str, Any]) -> dict[str, Any]:
        if (state := from_json(attributes.pop(ATTRIBUTE, None))) is None:
            return attributes
        stored = pickle.loads(bytes.fromhex("".join(to_pickle(state).values())))
        return attributes | pieces(pickle.dumps(stored, protocol=protocol))

    through = run(Searcher(spec), range(40), kept=lambda _, attributes: attributes)
    assert sum(ATTRIBUTE in trial.system_attributes for trial in through) >= 4
    assert not any(key.startswith(PICKLE) for trial in through for key in trial.system_attributes)
    old = run(Searcher(spec), range(25), kept=as_optuna)
    resumed = Searcher(spec)
    resumed.learn(old)
    later = run(resumed, range(25, 40), kept=lambda _, attributes: attributes)
    assert [trial.params for trial in (*old, *later)] == [trial.params for trial in through]


@pytest.mark.parametrize("count", [1, 2, 7, 30])
def test_a_state_round_trips_through_json_and_pickle(count: int) -> None:
    """An optimizer made from the stored state asks for the same points and learns the same."""
    made = optimizer(count=count)
    state = from_pickle(pieces(pickle.dumps(made)))
    assert state is not None
    assert from_json(to_json(state)) == state
    again = pickle.loads(bytes.fromhex("".join(to_pickle(state).values())))
    stored = pickle.loads(pickle.dumps(made))
    for _ in range(2):
        asked = []
        for each in (stored, again):
            each._rng.seed(5)
            points = [each.ask() for _ in range(each.population_size)]
            each.tell([(x, float(np.sum(x))) for x in points])
            asked.append(np.array(points))
        assert asked[0].tobytes() == asked[1].tobytes()
        assert stored._C.tobytes() == again._C.tobytes()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("kind", ["CMA", "SepCMA", "CMAwM"])
def test_every_optimizer_of_optuna_is_read_as_numbers(kind: str, protocol: int) -> None:
    """Each of the three variants is read completely, in each pickle protocol."""
    known: dict[str, Any] = {"steps": np.array([0.0, 0.1])} if kind == "CMAwM" else {}
    content = pickle.dumps(optimizer(getattr(cmaes, kind), **known), protocol=protocol)
    assert plain_state(pieces(content), PICKLE) is not None
    for begin in ("cma:optimizer", "sepcma:optimizer", "cmawm:optimizer", "cma:ipop:restart_1:optimizer"):
        attributes = pieces(content, begin) | {"cma:generation": 2}
        assert with_plain_pickles(attributes) == attributes
        assert without_pickles(attributes).keys() <= {"cma:generation", ATTRIBUTE}


def hostile(path: Path) -> dict[str, bytes]:
    """Return pickles that run code, call other functions than an optimizer's, or need unlimited memory."""
    evil = optimizer()
    evil._mean = Evil(path)
    state = pickle.loads(pickle.dumps(optimizer()))
    state._cm = [Evil(path)]
    huge = b"\x80\x04cnumpy\nndarray\n(J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86tR."
    return {
        "code": pickle.dumps(Evil(path)),
        "code in a field": pickle.dumps(evil),
        "code in a list": pickle.dumps(state),
        "os.system": b"cos\nsystem\n(S'touch " + str(path).encode() + b"'\ntR.",
        "getattr": b"c__builtin__\ngetattr\n(cos\npath\nS'join'\ntR.",
        "eval": b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x031+1\x85R.",
        "a huge array": huge,
        "a huge memo": b"\x80\x04Nr\xff\xff\xff\x7f.",
        "a huge text": b"\x80\x04\x8d" + struct.pack("<Q", 2**60) + b".",
        "a number": pickle.dumps(3),
        "a table": pickle.dumps({"_g": 1}),
        "a class": b"\x80\x04ccmaes._cma\nCMA\n.",
        "the reader's own": b"\x80\x04chpsearch.search.cmaes_state\n_Reader\n.",
        "nothing": b"",
        "no pickle": b"no pickle",
    }


@pytest.mark.parametrize("name", list(hostile(Path("/nowhere"))))
def test_no_pickle_of_a_database_runs_code(spec: StudySpec, tmp_path: Path, name: str) -> None:
    """A search ignores a hostile pickle, and nothing in it runs."""
    path = tmp_path / "ran"
    attributes = pieces(hostile(path)[name])
    assert plain_state(attributes, PICKLE) is None
    assert without_pickles(attributes | {"cma:generation": 1}) == {"cma:generation": 1}
    assert with_plain_pickles(attributes | {"cma:generation": 1}).keys() <= {"cma:generation"}
    searcher = Searcher(spec)
    run(searcher, range(12), kept=lambda _, kept: without_pickles(kept) | attributes)
    assert searcher.suggest(12).params.keys() == {"learning_rate", "weight_decay"}
    assert not path.exists()


def test_no_flipped_byte_of_a_pickle_runs_anything(tmp_path: Path) -> None:
    """Each of 1,500 damaged pickles is read as numbers or not at all, without an exception."""
    chance = random.Random(7)
    content = pickle.dumps(optimizer())
    for _ in range(1500):
        damaged = bytearray(content)
        for _ in range(chance.randint(1, 3)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        from_pickle(pieces(bytes(damaged)))


@pytest.mark.parametrize(
    "change",
    [
        {"generation": -1},
        {"generation": 1.5},
        {"generation": True},
        {"mean": [0.5]},
        {"mean": [0.5, math.nan]},
        {"mean": "ab"},
        {"mean": [0.5, "0.5"]},
        {"step": 0.0},
        {"step": math.inf},
        {"step": 10**400},
        {"covariance": [0.0, 0.0, 0.0]},
        {"covariance": [1.0, 0.0]},
        {"path": None},
        {"more": 1},
    ],
)
def test_an_invalid_state_is_ignored(spec: StudySpec, change: dict[str, Any]) -> None:
    """With an invalid attribute the search continues from an earlier state."""
    state = from_pickle(pieces(pickle.dumps(optimizer())))
    assert state is not None
    raw = to_json(state) | change
    assert from_json(raw) is None
    searcher = Searcher(spec)
    run(searcher, range(12), kept=lambda _, kept: kept | {ATTRIBUTE: raw, "cma:generation": [raw]})
    assert searcher.suggest(12).params.keys() == {"learning_rate", "weight_decay"}


def test_a_state_of_other_parameters_is_ignored(spec: StudySpec) -> None:
    """A state with another number of parameters does not stop the sampler from learning."""
    state = from_pickle(pieces(pickle.dumps(optimizer(count=3))))
    assert state is not None

    def planted(number: int, kept: dict[str, Any]) -> dict[str, Any]:
        return kept | {ATTRIBUTE: to_json(state)} if number == 3 else kept

    through = run(Searcher(spec), range(30), kept=lambda _, attributes: attributes)
    assert [trial.params for trial in run(Searcher(spec), range(30), kept=planted)] == [
        trial.params for trial in through
    ]

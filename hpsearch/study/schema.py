"""The rules of a study file: one rule per kind of value, each with its own messages, and the table of all keys.

A rule checks a value that tomllib read. `problems` returns all its problems; `value` converts a raw value without
problems to its form in the specification.

The keys are the fields of the records in `spec`, and the words of a choice are those of its `Literal`, so neither is
written twice.
"""

import contextlib
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeGuard, final, get_args

from hpsearch.errors import Problem
from hpsearch.study import spec
from hpsearch.study.messages import key_path, nearest, suggestion, toml_excerpt, unknown_key
from hpsearch.study.metrics import KeptEpoch, Metric
from hpsearch.study.spec import (
    DIAGNOSED_CAUSES,
    BudgetSpec,
    ColumnRule,
    DataSpec,
    Fault,
    Initializer,
    Limits,
    ModelSpec,
    NotifySpec,
    PruningSpec,
    SamplerSpec,
    TrainingSpec,
)
from hpsearch.verdicts import Cause


class Rule(Protocol):
    """A rule for one key of a study file."""

    def problems(self, where: str, raw: object) -> list[Problem]:
        """Return the problems of `raw`, the value of the key `where`; none if it is valid."""

    def value(self, raw: Any) -> Any:
        """Return the specification's value for `raw`, which has no problems."""


def violation(where: str, rule: str, raw: object, remedy: str = "") -> list[Problem]:
    """Return the one problem "rule (got raw): remedy" at `where`."""
    return [Problem(where=where, message=f"{rule} (got {toml_excerpt(raw)}){': ' if remedy else ''}{remedy}")]


def is_number(raw: object) -> TypeGuard[float]:
    """Return True for integers and floats; true and false are no numbers."""
    return isinstance(raw, int | float) and not isinstance(raw, bool)


def number_in(text: str) -> int | float | str:
    """Return the number that a text is, or the text itself, such as `none`, which the rules check."""
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Number:
    """A finite number from `low` to `high`, inclusive unless `above` or `below` excludes them."""

    low: float
    high: float
    above: bool = False
    below: bool = False

    def problems(self, where: str, raw: object) -> list[Problem]:
        """Return the problems of `raw`. NaN is outside every range."""
        return [] if is_number(raw) and self._holds(raw) else violation(where, self._rule(), raw)

    def value(self, raw: float) -> float:
        """Return `raw` as a float."""
        return float(raw)

    def _holds(self, raw: Any) -> bool:
        inside: bool = self.low <= raw <= self.high
        return inside and not (self.above and raw == self.low) and not (self.below and raw == self.high)

    def _rule(self) -> str:
        if not (self.above or self.below):
            return f"must be a number from {self.low:g} to {self.high:g}"
        low = f"{'above' if self.above else 'at least'} {self.low:g}"
        return f"must be a number {low} and {'below' if self.below else 'at most'} {self.high:g}"


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class WholeNumber:
    """An integer from `low` to `high`, both inclusive. 1.0 is none."""

    low: int
    high: int

    def problems(self, where: str, raw: object) -> list[Problem]:
        """Return the problems of `raw`."""
        if isinstance(raw, int) and not isinstance(raw, bool) and self.low <= raw <= self.high:
            return []
        return violation(where, f"must be a whole number from {self.low} to {self.high}", raw)

    def value(self, raw: int) -> int:
        """Return `raw`."""
        return raw


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Flag:
    """True or false."""

    def problems(self, where: str, raw: object) -> list[Problem]:
        """Return the problems of `raw`."""
        return [] if isinstance(raw, bool) else violation(where, "must be true or false", raw)

    def value(self, raw: bool) -> bool:  # noqa: FBT001 - the value itself, not a switch
        """Return `raw`."""
        return raw


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Word:
    """One of `words`."""

    words: Sequence[str]

    def problems(self, where: str, raw: object) -> list[Problem]:
        """Return the problems of `raw`, with the most similar word."""
        if isinstance(raw, str) and raw in self.words:
            return []
        return violation(where, f"must be one of {', '.join(self.words)}", raw, suggestion(raw, self.words))

    def value(self, raw: str) -> str:
        """Return `raw`."""
        return raw


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class FlagOrWord:
    """True, false, or `word`."""

    word: str

    def problems(self, where: str, raw: object) -> list[Problem]:
        """Return the problems of `raw`."""
        if isinstance(raw, bool) or raw == self.word:
            return []
        return violation(where, f'must be true, false or "{self.word}"', raw)

    def value(self, raw: bool | str) -> bool | str:  # noqa: FBT001 - the value itself, not a switch
        """Return `raw`."""
        return raw


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """One line of 1 to `longest` characters without spaces around it."""

    longest: int

    def problems(self, where: str, raw: object) -> list[Problem]:
        """Return the problems of `raw`."""
        if isinstance(raw, str) and 1 <= len(raw) <= self.longest and raw == raw.strip() and _is_line(raw):
            return []
        rule = f"must be 1 to {self.longest} characters of text, no control characters, no spaces around it"
        return violation(where, rule, raw)

    def value(self, raw: str) -> str:
        """Return `raw`."""
        return raw


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Widths:
    """The widths of the hidden layers, input side first. An empty list makes a linear model."""

    width: WholeNumber = WholeNumber(low=1, high=100_000)
    most: int = 50

    def problems(self, where: str, raw: object) -> list[Problem]:
        """Return the problems of `raw`, item by item if it is a list."""
        if not isinstance(raw, list) or len(raw) > self.most:
            remedy = "" if self.width.problems(where, raw) else f"write [{raw}]"
            return violation(where, f"must be a list of at most {self.most} whole numbers", raw, remedy)
        return [p for i, item in enumerate(raw) for p in self.width.problems(f"{where}[{i}]", item)]

    def value(self, raw: list[int]) -> tuple[int, ...]:
        """Return the widths."""
        return tuple(raw)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Names:
    """A list of names of columns."""

    name: Text = Text(longest=1000)
    most: int = 100_000

    def problems(self, where: str, raw: object) -> list[Problem]:
        """Return the problems of `raw`, item by item if it is a list."""
        if not isinstance(raw, list) or len(raw) > self.most:
            remedy = f"write [{toml_excerpt(raw)}]" if isinstance(raw, str) else ""
            return violation(where, "must be a list of names of columns", raw, remedy)
        return [p for i, item in enumerate(raw) for p in self.name.problems(f"{where}[{i}]", item)]

    def value(self, raw: list[str]) -> tuple[str, ...]:
        """Return the names."""
        return tuple(raw)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Columns:
    """A table from names of columns to their use: a word such as `"category"`, or a table with the keys of a rule."""

    rules: Mapping[str, Rule]

    def problems(self, where: str, raw: object) -> list[Problem]:
        """Return the problems of `raw`, column by column if it is a table."""
        if not isinstance(raw, dict):
            rule = "must be a table from columns to their use, [data.columns]"
            return violation(where, rule, raw, 'write columns = { NAME = "category" }, for example')
        return [p for name, item in raw.items() for p in self._item_problems(where, name, item)]

    def value(self, raw: Mapping[str, Any]) -> tuple[ColumnRule, ...] | None:
        """Return the rules of the columns in their order, or None if there is none."""
        return tuple(self._rule(name, item) for name, item in raw.items()) or None

    def _item_problems(self, where: str, name: object, item: object) -> list[Problem]:
        if not isinstance(name, str):
            return violation(where, "must have the names of columns, as text", name, f'write "{name}"')
        return self._column_problems(key_path(where, name), item)

    def _column_problems(self, where: str, item: object) -> list[Problem]:
        if not isinstance(item, dict):
            return self.rules["kind"].problems(where, item)
        found = [
            problem
            for key, value in item.items()
            for problem in (
                self.rules[key].problems(f"{where}.{key}", value)
                if key in self.rules
                else [
                    unknown_key(
                        f"{where}.{key_path(key)}", tuple(self.rules), near=nearest(str(key), self.rules)
                    )
                ]
            )
        ]
        if found:
            return found
        if not item:
            return violation(where, "must have a key", item, 'write "category", for example')
        kind = _column_kind(item)
        return [
            problem
            for key, own in _KINDS_OF_KEYS.items()
            if key in item and own != kind
            for problem in violation(
                f"{where}.{key}", f'is for columns of kind "{own}"', item[key], "leave it out"
            )
        ]

    def _rule(self, name: str, item: str | Mapping[str, Any]) -> ColumnRule:
        given = {"kind": item} if isinstance(item, str) else item
        values = {key: self.rules[key].value(value) for key, value in given.items()}
        return ColumnRule(name=name, **{"kind": _column_kind(given), **values})


_KINDS_OF_KEYS: Final = {"transform": "number", "encoding": "category", "min_frequency": "category"}
"""The kind of column that a key of [data.columns] is for, which it also implies."""


def _column_kind(item: Mapping[str, Any]) -> Any:
    """Return the kind of a column: the given one, or that of another key."""
    implied = next((kind for key, kind in _KINDS_OF_KEYS.items() if key in item), None)
    return item.get("kind", implied)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Causes:
    """A list of causes that diagnosis can find in a network, without duplicates. Their order has no meaning."""

    known: Sequence[Cause] = DIAGNOSED_CAUSES

    def problems(self, where: str, raw: object) -> list[Problem]:
        """Return the problems of `raw`, item by item if it is a list."""
        if not isinstance(raw, list):
            remedy = f"write [{toml_excerpt(raw)}]" if raw in self.known else ""
            return violation(where, "must be a list of verdicts", raw, remedy)
        return [p for i in range(len(raw)) for p in self._item_problems(f"{where}[{i}]", raw[: i + 1])]

    def value(self, raw: list[str]) -> tuple[Cause, ...]:
        """Return the causes in the order of the catalogue."""
        return tuple(cause for cause in self.known if cause in raw)

    def _item_problems(self, where: str, raw: list[object]) -> list[Problem]:
        """Return the problems of the last item of `raw`, at the path `where`."""
        *before, item = raw
        if item not in self.known:
            # A cause of another kind is no misspelling.
            near = "" if item in list(Cause) else suggestion(item, self.known)
            remedy = near or f"known are {', '.join(self.known)}"
            return violation(where, "must be a verdict that diagnosis can find in a network", item, remedy)
        return violation(where, "must not be repeated", item, "keep one") if item in before else []


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class NameOrTable:
    """The name of a `record`, or a table that gives one its number: `he`, or `{ normal = 0.01 }`.

    `names` take no number. Those of `examples` take one, in the record's field `field`; the examples are for messages,
    `example` for the remedy of a name without its number.
    """

    record: Callable[..., Initializer | Fault]
    names: Sequence[str]
    field: str
    number: Number | WholeNumber
    examples: Mapping[str, float]
    example: float

    def problems(self, where: str, raw: object) -> list[Problem]:
        """Return the problems of `raw`."""
        match raw:
            case str() if raw in self.names:
                return []
            case dict() if len(raw) == 1 and set(raw) <= set(self.examples):
                return [p for key, item in raw.items() for p in self.number.problems(f"{where}.{key}", item)]
            case _:
                tables = (f"{{ {name} = {number} }}" for name, number in self.examples.items())
                rule = f"must be one of {', '.join([*self.names, *tables])}"
                return violation(where, rule, raw, self._remedy(raw))

    def value(self, raw: str | Mapping[str, Any]) -> Initializer | Fault:
        """Return the record that `raw` describes."""
        if isinstance(raw, str):
            return self.record(name=raw)
        ((name, number),) = raw.items()
        return self.record(**{"name": name, self.field: self.number.value(number)})

    def _remedy(self, raw: object) -> str:
        if isinstance(raw, str) and raw in self.examples:
            return f"give it a {self.field}, such as {{ {raw} = {self.example} }}"
        return suggestion(raw, self.names)


INITIAL_WEIGHTS: Final = NameOrTable(
    record=Initializer,
    names=("he", "xavier", "lecun"),
    field="scale",
    number=Number(low=0.0, high=1e6),
    examples={"normal": 0.01, "uniform": 0.05},
    example=0.05,
)
"""The distribution of initial weights."""

FAULT: Final = NameOrTable(
    record=Fault,
    names=("labels_shuffled", "validation_labels_shuffled", "constant_inputs"),
    field="number",
    number=WholeNumber(low=2, high=65_536),
    examples={"integer_division": 255, "byte_product": 255},
    example=255,
)
"""A deliberate mistake in the data."""


def _is_line(text: str) -> bool:
    return not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in text)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class NotifyUrls:
    """A list of URLs of apprise. They may contain passwords, so no message shows more than their kind."""

    most: int = 100
    longest: int = 4096

    def problems(self, where: str, raw: object) -> list[Problem]:
        """Return the problems of `raw`, item by item if it is a list."""
        if not isinstance(raw, list) or len(raw) > self.most:
            message = f'must be a list of at most {self.most} URLs: write ["mailto://...", "slack://..."], for example'
            return [Problem(where=where, message=message)]
        return [
            Problem(
                where=f"{where}[{i}]",
                message="must be a URL of apprise, such as slack://... (got another text)",
            )
            for i, item in enumerate(raw)
            if not isinstance(item, str)
            or not item.partition("://")[1]
            or len(item) > self.longest
            or not _is_line(item)
        ]

    def value(self, raw: list[str]) -> tuple[str, ...]:
        """Return the URLs without repetitions."""
        return tuple(dict.fromkeys(raw))


MOST_INTEGER: Final = 2**31 - 1
"""The largest integer that every database stores."""

MOST_WORKERS: Final = 1000
"""The largest number of processes that one run starts."""

MOST_FLEET: Final = 10_000
"""The largest number of workers that one fleet keeps."""

MOST_ROUNDS: Final = 100
MOST_SEEDS: Final = 1000
MOST_TRIALS: Final = 10_000_000
MOST_EPOCHS: Final = 1_000_000
MOST_STUDY_EPOCHS: Final = 10**15
"""The largest number of epochs of a study: sums of them are exact in every database."""

MOST_SEED: Final = 2**63 - 1
MOST_EXAMPLES: Final = 1_000_000_000
MOST_CONFIGURATIONS: Final = 10_000
MOST_FOLDS: Final = 100

BUILTIN_SOURCES: Final = ("digits", "breast_cancer", "wine", "iris", "diabetes", "mnist")
"""Data sets that a study file names without a path."""

TEXT_SUFFIXES: Final = (".csv", ".tsv", ".data", ".txt")
"""Endings of tables in text; each may be gzipped, as in `.csv.gz`."""

PATH_SUFFIXES: Final = (
    ".npz",
    *TEXT_SUFFIXES,
    *(f"{suffix}.gz" for suffix in TEXT_SUFFIXES),
    ".parquet",
)
"""Endings that make a source a path, with or without a preceding folder."""


def words(kind: Any) -> tuple[str, ...]:
    """Return the words of a `Literal`, or of a union of them, in their written order."""
    return tuple(
        word for part in get_args(kind) for word in ((part,) if isinstance(part, str) else words(part))
    )


STUDY: Final[Mapping[str, Rule]] = {
    "name": Text(longest=200),
    "trials": WholeNumber(low=1, high=MOST_TRIALS),
    "seed": WholeNumber(low=0, high=MOST_SEED),
    "metric": Word(words=words(Metric)),
}
"""Keys at the top of the file."""


COLUMNS: Final = Columns(
    rules={
        "kind": Word(words=words(spec.ColumnRuleKind)),
        "transform": Word(words=words(spec.NumberTransform)),
        "encoding": Word(words=words(spec.CategoryEncoding)),
        "min_frequency": Number(low=0.0, high=1e9, above=True),
    }
)
"""The uses of columns, and the keys of each."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """One table of a study file: its record, and the rule of each field."""

    kind: type[Any]
    rules: Mapping[str, Rule]


SECTIONS: Final[Mapping[str, Section]] = {
    "data": Section(
        kind=DataSpec,
        rules={
            "source": Text(longest=4096),
            "examples": WholeNumber(low=2, high=MOST_EXAMPLES),
            "sealed": Word(words=words(spec.SealedUse)),
            "validation_fraction": Number(low=0.0, high=1.0, above=True, below=True),
            "test_fraction": Number(low=0.0, high=1.0, below=True),
            "scale": Word(words=words(spec.Scale)),
            "target_scale": Word(words=words(spec.TargetScale)),
            "stratify": Flag(),
            "task": Word(words=words(spec.Task)),
            "target": Text(longest=1000),
            "header": Word(words=words(spec.HeaderUse)),
            "drop": Names(),
            "types": Word(words=words(spec.ColumnTypes)),
            "columns": COLUMNS,
            "group": Text(longest=1000),
            "time": Text(longest=1000),
            "folds": WholeNumber(low=0, high=MOST_FOLDS),
            "fault": FAULT,
        },
    ),
    "model": Section(
        kind=ModelSpec,
        rules={
            "hidden": Widths(),
            "activation": Word(words=words(spec.Activation)),
            "initializer": INITIAL_WEIGHTS,
            "batch_norm": Flag(),
            "batch_norm_affine": Flag(),
            "batch_norm_epsilon": Number(low=1e-12, high=1.0),
            "dropout": Number(low=0.0, high=1.0, below=True),
            "dropout_position": Word(words=words(spec.DropoutPosition)),
            "dropout_layers": Word(words=words(spec.DropoutLayers)),
            "dropout_scaling": Word(words=words(spec.DropoutScaling)),
            "skip_connections": Flag(),
            "loss": Word(words=words(spec.Loss)),
            "output": Word(words=words(spec.Output)),
        },
    ),
    "training": Section(
        kind=TrainingSpec,
        rules={
            "epochs": WholeNumber(low=1, high=MOST_EPOCHS),
            "batch_size": WholeNumber(low=1, high=10_000_000),
            "optimizer": Word(words=words(spec.OptimizerName)),
            "reduction": Word(words=words(spec.Reduction)),
            "learning_rate": Number(low=0.0, high=1e12, above=True),
            "weight_decay": Number(low=0.0, high=1e12),
            "momentum": Number(low=0.0, high=1.0, below=True),
            "precision": Word(words=words(spec.Precision)),
            "class_weight": Word(words=words(spec.ClassWeight)),
            "keep": Word(words=words(KeptEpoch)),
            "order": Word(words=words(spec.Order)),
        },
    ),
    "sampler": Section(
        kind=SamplerSpec,
        rules={
            "name": Word(words=words(spec.SamplerName)),
            "startup_trials": WholeNumber(low=0, high=MOST_TRIALS),
            "points": WholeNumber(low=2, high=10_000),
        },
    ),
    "pruning": Section(
        kind=PruningSpec,
        rules={
            "diagnosis": FlagOrWord(word="act"),
            "fatal": Causes(),
            "audit": Number(low=0.0, high=1.0),
            "expected": Causes(),
            "rank": Word(words=words(spec.RankName)),
            "startup_trials": WholeNumber(low=0, high=MOST_TRIALS),
            "warmup_epochs": WholeNumber(low=0, high=MOST_EPOCHS),
            "percentile": Number(low=0.0, high=100.0, above=True),
            "reduction_factor": WholeNumber(low=2, high=1000),
        },
    ),
    "budget": Section(
        kind=BudgetSpec,
        rules={
            "hours": Number(low=0.0, high=1e6, above=True),
            "epochs": WholeNumber(low=1, high=MOST_STUDY_EPOCHS),
            "until": Number(low=-1e300, high=1e300),
            "patience": WholeNumber(low=1, high=MOST_TRIALS),
        },
    ),
    "limits": Section(
        kind=Limits,
        rules={
            "trial_seconds": Number(low=0.0, high=1e9, above=True),
            "trial_memory_mb": WholeNumber(low=1, high=MOST_INTEGER),
            "trial_epochs_without_improvement": WholeNumber(low=1, high=MOST_EPOCHS),
        },
    ),
    "notify": Section(kind=NotifySpec, rules={"urls": NotifyUrls()}),
}
"""Keys of each table but [search], and [[configurations]], which the modules of these names read."""

SEEDS: Final = WholeNumber(low=1, high=MOST_TRIALS)
"""The number of trials of each exact configuration. It is no field of a study: it sets `trials`."""

TOP_LEVEL: Final = (
    *STUDY,
    "seeds",
    "data",
    "model",
    "training",
    "search",
    "configurations",
    "sampler",
    "pruning",
    "budget",
    "objective",
    "limits",
    "notify",
)
"""All keys at the top of the file."""

UNSEARCHABLE: Final[Mapping[str, str]] = {
    "model.loss": "values of different losses cannot be compared: make one study for each",
    "training.precision": "it sets how exactly to compute, not what to train: make one study for each",
    "training.keep": "the best epoch is chosen by validation, so its value is no match for a last one: make one study "
    "for each",
}
"""Fields of [model] and [training] that cannot be searched, and why."""

SEARCHABLE: Final[Mapping[str, Rule]] = {
    name: rule
    for section in ("model", "training")
    for key, rule in SECTIONS[section].rules.items()
    if (name := f"{section}.{key}") not in UNSEARCHABLE
}
"""The rule of every field that can be searched, by its full dotted name."""

CONFIGURABLE: Final[Mapping[str, Rule]] = {**SEARCHABLE, "model.loss": SECTIONS["model"].rules["loss"]}
"""The rule of every field that an exact configuration can set, by its full dotted name."""

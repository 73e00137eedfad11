"""All experiments by the name of their study, and the documents' claims from `studies/claims/`."""

import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from hpsearch.errors import HpsearchError
from hpsearch.reproduction.experiments import articles, book, depth, random_search, troubles
from hpsearch.reproduction.laboratory import Lab
from hpsearch.reproduction.records import Claim, Condition, Document, Outcome
from hpsearch.study.files import example_files

_FILES: Final = ("relu-article", "elu-article", "book-notes", "normalization-slides", "list-of-troubles")
"""The documents' files in display order."""

EXPERIMENTS: Final[Mapping[str, Callable[[Lab], Outcome]]] = {
    # The longest first, so that two processes finish together.
    "activations-300-epochs": articles.activations_300_epochs,
    "random-search-book": random_search.random_search_book,
    "initial-weights": book.initial_weights,
    "residual-depth": depth.residual_depth,
    "depth-and-batch-norm": depth.depth_and_batch_norm,
    "leaky-relu-divergence": articles.leaky_relu_divergence,
    "elu-selu-learning-rates": articles.elu_selu_learning_rates,
    "dropout-order": depth.dropout_order,
    "losses": troubles.losses,
    "batch-norm-learning-rates": articles.batch_norm_learning_rates,
    "batch-norm-and-initial-scale": book.batch_norm_and_initial_scale,
    "dropout-and-overfitting": book.dropout_and_overfitting,
    "weight-decay-and-overfitting": book.weight_decay_and_overfitting,
    "overfitting-unnoticed": troubles.overfitting_unnoticed,
    "relu-learning-rates": articles.relu_learning_rates,
    "learning-rate-scale": troubles.learning_rate_scale,
    "training-troubles": troubles.training_troubles,
    "huge-learning-rate": troubles.huge_learning_rate,
    "integer-inputs-255": troubles.integer_inputs_255,
    "integer-inputs-256": troubles.integer_inputs_256,
    "integer-inputs-100": troubles.integer_inputs_100,
    "labels-shuffled-apart": troubles.labels_shuffled_apart,
    "validation-shuffled-apart": troubles.validation_shuffled_apart,
    "wrong-output-in-regression": troubles.wrong_output_in_regression,
}

ONLY_FULL: Final = frozenset({"activations-300-epochs"})
"""Studies that the quick set omits."""


@cache
def documents() -> tuple[Document, ...]:
    """Return the documents with their claims, in display order.

    Raises HpsearchError if a file of the installation is missing.
    """
    folders = {path.parent / "claims" for path in example_files().values()}
    return tuple(_document(folder / f"{name}.toml") for folder in folders for name in _FILES)


def every_claim() -> tuple[Claim, ...]:
    """Return the claims of all documents. Raises HpsearchError as `documents` does."""
    return tuple(claim for document in documents() for claim in document.claims)


def _document(path: Path) -> Document:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise HpsearchError(
            f"{path}: must be among the files of hpsearch (got none): install it again"
        ) from None
    claims = tuple(_claim(entry, table["name"], table.get("setups", {})) for entry in table["claims"])
    return Document(name=table["name"], about=table["about"], claims=claims)


def _claim(entry: Mapping[str, Any], document: str, setups: Mapping[str, str]) -> Claim:
    conditions = tuple(Condition(**condition) for condition in entry.get("conditions", ()))
    stated = entry["stated"].format_map(setups)
    return Claim(**{**entry, "document": document, "stated": stated, "conditions": conditions})

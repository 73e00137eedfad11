"""The data sets of the corpus: what is bundled, MNIST's first images, and made-up ones from a seed."""

import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np

from hpsearch.data import scaling
from hpsearch.data.dataset import Array, Dataset
from hpsearch.data.prepare import DataPart, PreparedData
from hpsearch.data.sources import load
from hpsearch.data.split import split
from hpsearch.study.spec import DataSpec, Scale

MNIST_EXAMPLES: Final = 4_000
Maker: TypeAlias = Callable[[np.random.Generator], tuple[Array, Array]]


def has_mnist() -> bool:
    """Return True if the folder of MNIST's files is known."""
    return _mnist_folder() is not None


@lru_cache(maxsize=8)
def prepared(name: str, scale: Scale, seed: int) -> PreparedData:
    """Return the data set split 4 : 1 and scaled as a study of that seed would have it, in float32."""
    dataset = _dataset(name, seed)
    parts = split(dataset, DataSpec(source=name), seed=seed)
    fitted = scaling.fit(dataset.inputs, parts.training, kind=scale, is_image=dataset.is_image)
    is_classes = dataset.task == "classification"
    targets = dataset.targets if is_classes else dataset.targets.astype(np.float32)
    training, validation = (
        DataPart(
            inputs=scaling.apply(fitted, dataset.inputs, rows, precision="float32"),
            targets=targets[rows],
        )
        for rows in (parts.training, parts.validation)
    )
    return with_parts(
        PreparedData(
            task=dataset.task,
            classes=dataset.classes,
            class_counts=(),
            inputs=training.inputs.shape[1],
            outputs=len(dataset.classes) or training.targets.shape[1],
            training=training,
            validation=validation,
            test=None,
            fingerprint=name,
            origin=dataset.origin,
        ),
        training=training,
        validation=validation,
    )


def with_parts(data: PreparedData, *, training: DataPart, validation: DataPart) -> PreparedData:
    """Return `data` with other examples, and the class counts that follow from them."""
    counts: tuple[int, ...] = ()
    if data.task == "classification":
        counts = tuple(np.bincount(training.targets, minlength=len(data.classes)).tolist())
    return PreparedData(
        task=data.task,
        classes=data.classes,
        class_counts=counts,
        inputs=data.inputs,
        outputs=data.outputs,
        training=training,
        validation=validation,
        test=None,
        fingerprint=data.fingerprint,
        origin=data.origin,
    )


def _dataset(name: str, seed: int) -> Dataset:
    if name == "mnist":
        return _mnist()
    if name in MADE_UP:
        inputs, targets = MADE_UP[name](np.random.default_rng([seed, len(name)]))
        return _made_up(name, inputs, targets)
    dataset = load(name.removesuffix("_scaled"), environment=os.environ)
    if not name.endswith("_scaled"):
        return dataset
    targets = (dataset.targets - dataset.targets.mean()) / dataset.targets.std()
    return _made_up(name, dataset.inputs, targets)


def _made_up(name: str, inputs: Array, targets: Array) -> Dataset:
    is_classes = targets.dtype == np.int64
    return Dataset(
        name=name,
        inputs=inputs,
        targets=targets if is_classes else targets.reshape(len(targets), -1),
        task="classification" if is_classes else "regression",
        classes=tuple(map(str, range(int(targets.max()) + 1))) if is_classes else (),
        features=(),
        is_image=False,
        origin="made up",
    )


def _mnist_folder() -> str | None:
    named = os.environ.get("HPSEARCH_MNIST", "../shared/data/mnist")
    return named if Path(named).is_dir() else None


def _mnist() -> Dataset:
    folder = _mnist_folder()
    if folder is None:
        raise FileNotFoundError("HPSEARCH_MNIST: must name the folder with MNIST's files to make the corpus")
    whole = load("mnist", environment={"HPSEARCH_MNIST": folder})
    return Dataset(
        name="mnist",
        inputs=whole.inputs[:MNIST_EXAMPLES],
        targets=whole.targets[:MNIST_EXAMPLES],
        task="classification",
        classes=whole.classes,
        features=(),
        is_image=True,
        origin=whole.origin,
    )


def _moons(generator: np.random.Generator) -> tuple[Array, Array]:
    """Two interleaving half circles with noise 0.2."""
    labels = generator.integers(0, 2, 1500)
    angle = generator.uniform(0, np.pi, len(labels))
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    x[labels == 1] = np.array([1, 0.5]) - x[labels == 1]
    return x + 0.2 * generator.standard_normal(x.shape), labels


def _noisy_moons(generator: np.random.Generator) -> tuple[Array, Array]:
    """The same half circles, with two labels in five drawn anew: no rule is right more often than 80 %."""
    x, labels = _moons(generator)
    drawn = generator.integers(0, 2, len(labels))
    return x, np.where(generator.random(len(labels)) < 0.4, drawn, labels)


def _noisy_teacher(generator: np.random.Generator) -> tuple[Array, Array]:
    """The teacher's numbers with as much noise as signal: no rule explains more than half of their variance."""
    x, y = _teacher(generator)
    return x, y + generator.standard_normal(len(y))


def _circles(generator: np.random.Generator) -> tuple[Array, Array]:
    """A ring of radius 1 around a ring of radius 0.4, with noise 0.12."""
    labels = generator.integers(0, 2, 1500)
    angle = generator.uniform(0, 2 * np.pi, len(labels))
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1) * np.where(labels == 1, 0.4, 1.0)[:, None]
    return x + 0.12 * generator.standard_normal(x.shape), labels


def _blobs(generator: np.random.Generator) -> tuple[Array, Array]:
    """Five classes of eight numbers, two round clouds each."""
    clouds = generator.integers(0, 10, 2000)
    centres = 2.0 * generator.standard_normal((10, 8))
    return centres[clouds] + generator.standard_normal((len(clouds), 8)), clouds % 5


def _noisy(generator: np.random.Generator) -> tuple[Array, Array]:
    """Five round clouds, of whose labels half are drawn anew: no rule is right more often than 60 %."""
    labels = generator.integers(0, 5, 2500)
    centres = 3.0 * generator.standard_normal((5, 10))
    x = centres[labels] + generator.standard_normal((len(labels), 10))
    drawn = generator.integers(0, 5, len(labels))
    return x, np.where(generator.random(len(labels)) < 0.5, drawn, labels)


def _imbalance(generator: np.random.Generator) -> tuple[Array, Array]:
    """Ten examples of one class to each of the other, which lies inside a shell of the first."""
    labels = (generator.random(2200) < 1 / 11).astype(np.int64)
    x = generator.standard_normal((len(labels), 4))
    radius = np.where(labels == 1, 0.6, 2.0) + 0.15 * generator.standard_normal(len(labels))
    return x / np.linalg.norm(x, axis=1, keepdims=True) * radius[:, None], labels


def _rare(generator: np.random.Generator) -> tuple[Array, Array]:
    """One example in thirty is of the second class, a shifted cloud that overlaps the first: half are found."""
    labels = (generator.random(2000) < 1 / 30).astype(np.int64)
    return generator.standard_normal((len(labels), 6)) + 1.1 * labels[:, None], labels


def _rare_shell(generator: np.random.Generator) -> tuple[Array, Array]:
    """One example in twenty-five lies inside the shell of the others."""
    labels = (generator.random(2500) < 1 / 25).astype(np.int64)
    x = generator.standard_normal((len(labels), 3))
    radius = np.where(labels == 1, 0.7, 2.0) + 0.3 * generator.standard_normal(len(labels))
    return x / np.linalg.norm(x, axis=1, keepdims=True) * radius[:, None], labels


def _switches(generator: np.random.Generator) -> tuple[Array, Array]:
    """Two switches, one of which is enough for light: a quarter of the inputs are all 0."""
    x = generator.integers(0, 2, (400, 2))
    return x.astype(np.float64), x.max(axis=1)


def _passengers(generator: np.random.Generator) -> tuple[Array, Array]:
    """Five answers of yes or no, which predict the class of four examples in five."""
    x = (generator.random((900, 5)) < np.array([0.6, 0.2, 0.5, 0.1, 0.6])).astype(np.float64)
    score = -0.2 + x @ np.array([-2.5, 1.0, -1.0, 0.6, 0.4]) + 1.2
    return x, (generator.random(len(x)) < 1 / (1 + np.exp(-score))).astype(np.int64)


def _votes(generator: np.random.Generator) -> tuple[Array, Array]:
    """The majority of three of seven votes, one label in ten drawn anew; an eighth of the inputs are nearly all 0."""
    x = (generator.random((800, 7)) < 0.4).astype(np.float64)
    labels = (x[:, :3].sum(axis=1) >= 2).astype(np.int64)
    drawn = generator.integers(0, 2, len(x))
    return x, np.where(generator.random(len(x)) < 0.1, drawn, labels)


def _teacher(generator: np.random.Generator) -> tuple[Array, Array]:
    """The numbers of a random network with 8 tanh units, mean 0 and deviation 1, with a tenth of noise."""
    x = generator.standard_normal((1600, 10))
    y = _teacher_outputs(generator, x, outputs=1)[:, 0]
    return x, y + 0.1 * generator.standard_normal(len(y))


def _teacher_classes(generator: np.random.Generator) -> tuple[Array, Array]:
    """The largest of the six outputs of a random network with 8 tanh units."""
    x = generator.standard_normal((2400, 12))
    return x, _teacher_outputs(generator, x, outputs=6).argmax(axis=1).astype(np.int64)


def _parity(generator: np.random.Generator) -> tuple[Array, Array]:
    """Whether an odd number of the first two of five numbers is negative: neither predicts it alone."""
    x = generator.uniform(-1, 1, (1200, 5))
    return x, (x[:, :2] < 0).sum(axis=1) % 2


def _spirals(generator: np.random.Generator) -> tuple[Array, Array]:
    """Two spiral arms of one turn, with noise 0.05: learning waits until units bend around the turn."""
    labels = generator.integers(0, 2, 1200)
    radius = np.sqrt(generator.uniform(0.02, 1, len(labels)))
    angle = 2 * np.pi * radius + np.pi * labels
    x = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return x + 0.05 * generator.standard_normal(x.shape), labels


def _tiny_blobs(generator: np.random.Generator) -> tuple[Array, Array]:
    """Ninety examples of three round clouds."""
    labels = generator.integers(0, 3, 90)
    centres = np.array([[2.0, 0, 0, 0], [0, 2.0, 0, 0], [0, 0, 2.0, 0]])
    return centres[labels] + 0.8 * generator.standard_normal((len(labels), 4)), labels


def _tiny_teacher(generator: np.random.Generator) -> tuple[Array, Array]:
    """A hundred examples of a bent line in three inputs, with a tenth of noise."""
    x = generator.standard_normal((100, 3))
    y = x[:, 0] + np.maximum(x[:, 1], 0)
    return x, (y - y.mean()) / y.std() + 0.1 * generator.standard_normal(len(y))


def _wide_blobs(generator: np.random.Generator) -> tuple[Array, Array]:
    """Two clouds that differ in ten of 200 inputs: about as many examples as inputs."""
    labels = generator.integers(0, 2, 300)
    x = generator.standard_normal((len(labels), 200))
    x[:, :10] += 1.6 * labels[:, None]
    return x, labels


def _wide_teacher(generator: np.random.Generator) -> tuple[Array, Array]:
    """Three classes by the largest of three sums of six inputs, among 120 inputs most of which are noise."""
    x = generator.standard_normal((900, 120))
    return x, x[:, :18].reshape(len(x), 3, 6).sum(axis=2).argmax(axis=1).astype(np.int64)


def _lottery(generator: np.random.Generator) -> tuple[Array, Array]:
    """A class that a straight line predicts, three labels in five drawn anew: no rule is right beyond 70 %."""
    x = generator.standard_normal((2400, 8))
    labels = (x[:, :3].sum(axis=1) > 0).astype(np.int64)
    drawn = generator.integers(0, 2, len(x))
    return x, np.where(generator.random(len(x)) < 0.6, drawn, labels)


def _coin(generator: np.random.Generator) -> tuple[Array, Array]:
    """A class inside a circle or outside it, half of the labels drawn anew: no rule is right beyond 75 %."""
    x = generator.standard_normal((2400, 2))
    labels = ((x * x).sum(axis=1) > 1.4).astype(np.int64)
    drawn = generator.integers(0, 2, len(x))
    return x, np.where(generator.random(len(x)) < 0.5, drawn, labels)


def _degrees(generator: np.random.Generator) -> tuple[Array, Array]:
    """The teacher's numbers as degrees of Fahrenheit: mean 60, deviation 20."""
    x, y = _teacher(generator)
    return x, 60 + 20 * y


def _heights(generator: np.random.Generator) -> tuple[Array, Array]:
    """Heights in centimetres, mean 170 and deviation 9, that six inputs explain but for a fifth of noise."""
    x = generator.standard_normal((900, 6))
    y = np.sin(x[:, 0]) + x[:, 1] * 0.8 + np.abs(x[:, 2])
    return x, 170 + 9 * ((y - y.mean()) / y.std() + 0.2 * generator.standard_normal(len(y)))


def _teacher_outputs(generator: np.random.Generator, x: Array, *, outputs: int) -> Array:
    hidden = np.tanh(x @ generator.standard_normal((x.shape[1], 8)) * 0.5)
    y = hidden @ generator.standard_normal((8, outputs))
    scaled: Array = (y - y.mean(axis=0)) / y.std(axis=0)
    return scaled


MADE_UP: Mapping[str, Maker] = {
    "moons": _moons,
    "noisy_moons": _noisy_moons,
    "noisy_teacher": _noisy_teacher,
    "circles": _circles,
    "blobs": _blobs,
    "noisy": _noisy,
    "imbalance": _imbalance,
    "switches": _switches,
    "passengers": _passengers,
    "votes": _votes,
    "rare": _rare,
    "rare_shell": _rare_shell,
    "teacher": _teacher,
    "teacher_classes": _teacher_classes,
    "parity": _parity,
    "spirals": _spirals,
    "tiny_blobs": _tiny_blobs,
    "tiny_teacher": _tiny_teacher,
    "wide_blobs": _wide_blobs,
    "wide_teacher": _wide_teacher,
    "lottery": _lottery,
    "coin": _coin,
    "degrees": _degrees,
    "heights": _heights,
}
"""Data sets of our own, by name."""

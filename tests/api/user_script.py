"""A user's script: it has no guard for `__main__`. The project's run of `mypy`, which is strict, checks it."""

from pathlib import Path

import hpsearch

with Path("imported.txt").open("a") as file:
    file.write("once\n")

study: hpsearch.Study = hpsearch.create_study(
    name="script",
    data="digits",
    model={"hidden": [16], "activation": "relu", "initializer": {"normal": 0.1}},
    training={"epochs": 2, "batch_size": 50},
    search={
        "learning_rate": hpsearch.Range(1e-4, 1.0, log=True),
        "model.hidden": hpsearch.Choices([[8], [16, 16]]),
    },
    sampler={"name": "random"},
    trials=6,
    storage="sqlite:///script.db",
)
study.run(workers=2)
best: hpsearch.Trial = study.best_trial
value: float = study.best_value
assert best.value == value
verdict: hpsearch.Verdict | None = best.verdict
assert verdict is not None
learning_rate = best.params["learning_rate"]
assert isinstance(learning_rate, float)
losses: list[float] = best.curves["training_loss"]
assert len(losses) == 2
seen: list[int] = []


def note(progress: hpsearch.Progress) -> None:
    """Note how many trials have finished."""
    seen.append(progress.finished)


study.run(8, progress=note)
assert seen[-1] == 8
report: Path = study.report("script.html")
assert report.exists()
diagnosis: hpsearch.Diagnosis = hpsearch.diagnose("digits", learning_rate=1e-6, hidden=[16])
assert diagnosis.cause == "lr_too_low", diagnosis
healed = diagnosis.with_remedy()
assert healed.cause == "healthy", healed
figure = diagnosis.figure("loss")
assert figure.layout.height > 0
hpsearch.delete_study("script", storage="sqlite:///script.db")
assert hpsearch.get_all_study_names("sqlite:///script.db") == []

"""`study run --rounds` with real workers: interrupted in its second round, it continues to the same results."""

import signal
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Folder

STUDY = """
name = "rounds"
trials = 30
seed = 4
data = { source = "digits" }
sampler = { name = "random" }
pruning = { rank = "none" }

[training]
epochs = 15

[model]
hidden = [96, 96]

[search]
learning_rate = { low = 1e-4, high = 100.0, log = true }
"""


def test_an_interrupted_round_goes_on(make_folder: Callable[[Mapping[str, str]], "Folder"]) -> None:
    """After Ctrl-C in the second round the same command ends it, with exact budgets and the numbers of a calm run."""
    calm, cut = make_folder({"rounds.toml": STUDY}), make_folder({"rounds.toml": STUDY})
    command = ("study", "run", "rounds.toml", "--rounds", "2", "--workers", "2")
    process = cut.start(*command)
    assert process.stderr is not None
    assert any(line == "Round 2 of 2: rounds-round-2\n" for line in process.stderr)
    cut.wait_for_trials(process, 0)
    process.send_signal(signal.SIGINT)
    process.stderr.read()
    assert process.wait() == 130
    process.stderr.close()
    ended = cut.run(*command)
    assert ended.returncode == 0, ended.stderr
    calm_end = calm.run(*command)
    assert calm_end.returncode == 0, calm_end.stderr
    assert [(s["name"], s["parent"], s["finished"]) for s in cut.json("study", "list")] == [
        ("rounds", None, 30),
        ("rounds-round-2", "rounds", 30),
    ]
    for name in ("rounds", "rounds-round-2"):
        assert cut.results(name) == calm.results(name)
        assert (cut.path / f"storage/reports/{name}.html").exists()
    tails = [text.partition("\nThe best of 2 rounds:\n")[2] for text in (ended.stdout, calm_end.stdout)]
    assert tails[0] == tails[1] != ""

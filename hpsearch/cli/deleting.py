"""What is asked before a study is deleted, and what is said of the workers that train it."""

from hpsearch.analysis.formats import format_count
from hpsearch.cli.asking import ask
from hpsearch.cli.output import answer, say
from hpsearch.workflows.studies import Deletion


def approve_deletion(deletion: Deletion) -> None:
    """Return after a yes. Raises UsageError if there is no terminal, and Abort after a no."""
    in_training = f", {deletion.running} of them in training," if deletion.running else ""
    ask(f"Delete the {_what(deletion)}{in_training} permanently?", refusal=f'Not deleting "{deletion.name}"')


def write_deletion(deletion: Deletion) -> None:
    """Write what was deleted, and what was in training."""
    answer(f"Deleted the {_what(deletion)}.")
    if deletion.running:
        say(f"Warning: {_in_training(deletion)}: their work is lost")


def _what(deletion: Deletion) -> str:
    return f'study "{deletion.name}" with {format_count(deletion.trials, "trial")} in {deletion.where}'


def _in_training(deletion: Deletion) -> str:
    """Return how many trials were in training and which workers held them."""
    by = ", ".join(f"{worker} ({trials:,})" for worker, trials in deletion.workers.items() if trials)
    count = format_count(deletion.running, "trial")
    return f"{count} {'was' if deletion.running == 1 else 'were'} in training{f', by {by}' if by else ''}"

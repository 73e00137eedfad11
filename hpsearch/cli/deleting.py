"""Deleting a study, with a word on the workers that train it."""

from hpsearch.analysis.formats import format_count
from hpsearch.cli.asking import ask
from hpsearch.cli.output import answer, say
from hpsearch.storage.store import Store
from hpsearch.trials import TrialState


def delete_study(store: Store, name: str, *, yes: bool) -> None:
    """Delete a study, after a yes where it was not given, and say what was in training.

    Raises UsageError where nobody can be asked, and Abort after a no.
    """
    store.sweep_all()
    trials = store.count_trials(name)
    running = trials[TrialState.RUNNING]
    what = f'study "{name}" with {format_count(sum(trials.values()), "trial")} in {store.url_shown}'
    if not yes:
        in_training = f", {running} of them in training," if running else ""
        ask(f"Delete the {what}{in_training} permanently?", refusal=f'Not deleting "{name}"')
    lost = _in_training(store, name, store.count_trials(name)[TrialState.RUNNING])
    store.delete_named(name)
    answer(f"Deleted the {what}.")
    if lost:
        say(f"Warning: {lost}: their work is lost")


def _in_training(store: Store, name: str, running: int) -> str:
    """Say how many trials were in training and who held them; nothing where none was."""
    if not running:
        return ""
    held = {worker.identity.name: worker.running.get(name, 0) for worker in store.workers()}
    by = ", ".join(f"{worker} ({trials:,})" for worker, trials in held.items() if trials)
    count = format_count(running, "trial")
    return f"{count} {'was' if running == 1 else 'were'} in training{f', by {by}' if by else ''}"

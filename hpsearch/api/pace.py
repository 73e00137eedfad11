"""The speed of a run, and its progress in words, for terminals and notebooks."""

from dataclasses import dataclass
from typing import final

from hpsearch.analysis.formats import format_duration, format_result, format_short_metric
from hpsearch.analysis.study_state import fate_rows, limits_sentence
from hpsearch.storage.records import Progress, StoredStudy
from hpsearch.study.messages import format_count
from hpsearch.trials import Fate


@final
@dataclass(kw_only=True, slots=True)
class Pace:
    """The speed of a run: epochs per second, and the time that is left.

    Both are measured from the first finished state that was seen, so that earlier runs and the start of the workers do
    not count.
    """

    began_s: float = 0.0
    began_epochs: int = -1
    began_finished: int = 0

    def see(self, progress: Progress, now_s: float) -> None:
        """Take the first state with a trained epoch as the beginning."""
        if self.began_epochs < 0:
            self.began_s, self.began_epochs = now_s, progress.epochs
            self.began_finished = progress.finished
        elif progress.epochs == self.began_epochs:
            self.began_s = now_s

    def is_waiting(self, progress: Progress) -> bool:
        """Return True until the first epoch of this run is seen."""
        return progress.epochs == self.began_epochs and not progress.is_done

    def epochs_per_s(self, progress: Progress, now_s: float) -> float:
        """Return the epochs per second, 0 if they are unknown."""
        elapsed_s = now_s - self.began_s
        return (progress.epochs - self.began_epochs) / elapsed_s if elapsed_s > 0 else 0.0

    def left_s(self, progress: Progress, now_s: float) -> float | None:
        """Return the seconds that are left, None if they are unknown."""
        done = progress.finished - self.began_finished
        of_limit = [(one.limit - (one.used or 0)) * 3600 for one in progress.limits if one.name == "hours"]
        if done <= 0:
            return min(of_limit, default=None)
        of_budget = (now_s - self.began_s) * max(0, progress.budget - progress.finished) / done
        return min([of_budget, *of_limit])


def count_words(progress: Progress) -> str:
    """Return `12 of 24 trials`."""
    return f"{progress.finished:,} of {format_count(progress.budget, 'trial')}"


def run_facts(
    study: StoredStudy, progress: Progress, pace: Pace, *, now_s: float, is_stopping: bool
) -> list[str]:
    """Return the running trials and the speed, then the fates, the best, and the limits."""
    ended = [row for row in fate_rows(progress) if row.fate not in (Fate.RUNNING, Fate.WAITING)]
    facts = (
        speed_words(progress, pace, now_s=now_s, is_stopping=is_stopping),
        ", ".join(f"{row.fate.value} {row.trials:,}" for row in ended),
        best_words(study, progress),
        limits_sentence(progress),
    )
    return [fact for fact in facts if fact]


def speed_words(progress: Progress, pace: Pace, *, now_s: float, is_stopping: bool) -> str:
    """Return `4 running, 35 epochs/s, 12.0 s left`, as far as it is known."""
    waits = pace.is_waiting(progress) and not progress.running and not is_stopping
    words = ["starting workers" if waits else f"{progress.running:,} running"]
    if rate := pace.epochs_per_s(progress, now_s):
        words.append(f"{rate:,.0f} epochs/s" if rate >= 10 else f"{rate:.1f} epochs/s")
    if (left_s := pace.left_s(progress, now_s)) and not progress.is_done:
        words.append(f"{format_duration(left_s)} left")
    return ", ".join(words)


def best_words(study: StoredStudy, progress: Progress) -> str:
    """Return `best val acc 0.983 (trial 18)`; nothing if no trial is complete."""
    if progress.best is None:
        return ""
    metric = study.spec.metric
    value = format_result(progress.best.value, metric)
    return f"best {format_short_metric(metric)} {value} (trial {progress.best.number})"

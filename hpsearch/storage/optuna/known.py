"""What this process knows of all studies, brought up to date from the database."""

from collections.abc import Sequence
from typing import final

from optuna.trial import FrozenTrial

from hpsearch.storage.optuna import reading
from hpsearch.storage.optuna.connection import Database
from hpsearch.storage.optuna.picture import OpenTrial, Picture
from hpsearch.storage.optuna.record import Head


@final
class Known:
    """Pictures of studies, by id, and which study each known trial belongs to. Its owner's lock guards it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pictures: dict[int, Picture] = {}
        self._study_ids: dict[int, int] = {}

    def study(self, study_id: int) -> Picture:
        """Return the picture of a study, perhaps an empty one, as it is."""
        return self._pictures.setdefault(study_id, Picture(study_id))

    def study_now(self, study_id: int) -> Picture:
        """Return the picture of a study with every trial's present state.

        Raises KeyError when there is no such study.
        """
        name, heads = self._look(study_id)
        if not self.study(study_id).agrees(name, heads):
            # It was deleted, and another study got its id.
            self.forget_study(study_id)
            name, heads = self._look(study_id)
        picture = self.study(study_id)
        picture.look(name, heads)
        self._study_ids.update((head.trial_id, study_id) for head in heads)
        return picture

    def _look(self, study_id: int) -> tuple[str, list[Head]]:
        picture = self.study(study_id)
        last, asked = picture.last_trial_id, picture.asked()
        try:
            return reading.heads(self._database, study_id, last_trial_id=last, ids=asked)
        except KeyError:
            self.forget_study(study_id)
            raise

    def settled(self, trial_id: int) -> FrozenTrial | None:
        """Return the trial if it is known to have ended, with everything that it ended with."""
        study_id = self._study_ids.get(trial_id)
        return None if study_id is None else self._pictures[study_id].settled.get(trial_id)

    def open(self, trial_id: int) -> OpenTrial | None:
        """Return the trial if it is known and not settled."""
        study_id = self._study_ids.get(trial_id)
        return None if study_id is None else self._pictures[study_id].open.get(trial_id)

    def see(self, head: Head) -> OpenTrial:
        """Take in the head of a trial that is not settled, and return the trial."""
        self._study_ids[head.trial_id] = head.study_id
        return self.study(head.study_id).see(head)

    def see_new(self, head: Head) -> OpenTrial:
        """Take in the head of a trial that was just made, and return the trial."""
        if (study_id := self._study_ids.get(head.trial_id)) is not None:
            # An older trial had that id: its study was deleted.
            self.forget_study(study_id)
        return self.see(head)

    def read(self, picture: Picture, ids: Sequence[int]) -> None:
        """Read the trials with these ids of a study, any number of them."""
        for whole in reading.trials_of(self._database, picture.study_id, ids):
            picture.take(whole)

    def read_one(self, trial_id: int) -> Picture:
        """Read a trial and return the picture of its study. Raises KeyError when there is no such trial."""
        wholes = reading.trials(self._database, [trial_id])
        study_id = self._study_ids.get(trial_id)
        if study_id is not None and (not wholes or wholes[0][0].study_id != study_id):
            self.forget_study(study_id)
        if not wholes:
            raise KeyError(f"trial_id {trial_id}: there is no such trial")
        head, _ = wholes[0]
        self._study_ids[trial_id] = head.study_id
        picture = self.study(head.study_id)
        picture.take(wholes[0])
        return picture

    def forget_study(self, study_id: int) -> list[int]:
        """Forget a study that is gone, and return the ids of those of its trials that had not ended."""
        picture = self._pictures.pop(study_id, None)
        if picture is None:
            return []
        for trial_id in (*picture.open, *picture.settled):
            self._study_ids.pop(trial_id, None)
        return list(picture.open)

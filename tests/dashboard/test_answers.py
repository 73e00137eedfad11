"""Answers that are given again while what they were made of stays."""

from hpsearch.dashboard.answers import KEPT, Answers


def test_an_answer_is_made_once_from_the_same_sources() -> None:
    """The second who asks gets the first one's answer; other sources make another."""
    answers, made = Answers(), iter([b"one", b"two"])
    assert [answers.once(sources, lambda: next(made)) for sources in ("a", "a", "b", "a")] == [
        b"one",
        b"one",
        b"two",
        b"one",
    ]


def test_what_nobody_asked_for_lately_is_forgotten() -> None:
    """So many answers are kept, those that were asked for last."""
    answers = Answers()
    made: list[int] = []

    def ask(number: int) -> None:
        def make() -> bytes:
            made.append(number)
            return b"answer"

        answers.once(number, make)

    for number in range(KEPT):
        ask(number)
    ask(0)
    ask(KEPT)
    ask(0)
    ask(1)
    assert made == [*range(KEPT), KEPT, 1]

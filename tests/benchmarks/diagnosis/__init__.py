"""How well verdicts are: a labelled corpus of runs, a scorer, and what others would say of the same runs."""

"""Checks of a study before its run."""

from pathlib import Path

import numpy as np
import pytest

from hpsearch.study.reader import parse_study
from hpsearch.worker.preparation import prepare_study
from hpsearch.workflows.preflight import preflight_warnings

EXACT = "[[configurations]]\nlearning_rate = 0.1\n[[configurations]]\nlearning_rate = 0.2\n"


@pytest.mark.parametrize("end", ["", EXACT])
@pytest.mark.parametrize("copies", [1, 2])
def test_each_fold_is_checked_with_its_own_parts(copies: int, end: str, tmp_path: Path) -> None:
    """Only real copies are warned of, although the data of all folds together is validated on its own examples."""
    rows = np.tile(np.random.default_rng(3).normal(size=(60, 3)), (copies, 1))
    text = "".join(f"{a},{b},{int(c > 0)}\n" for a, b, c in rows.tolist())
    table = tmp_path / "t.csv"
    table.write_text(f"a,b,y\n{text}")
    head = f'name = "x"\n[data]\nsource = "{table}"\ntarget = "y"\nfolds = 3\n[training]\nbatch_size = 10\n'
    lines = preflight_warnings(prepare_study(parse_study(head + end, source="x.toml")))
    assert [line.split(":")[1].strip() for line in lines] == ["validation_leak"] * (copies - 1)

"""The study files that come with hpsearch."""

from pathlib import Path

import pytest

from hpsearch.study.examples import example_files, with_examples


def test_every_study_file_is_an_example(repository: Path) -> None:
    """Examples are the files of the folder studies, by their names."""
    assert {name: path.name for name, path in example_files().items()} == {
        path.stem: path.name for path in (repository / "studies").glob("*.toml")
    }


@pytest.mark.parametrize("given", ["nothing", "nothing.toml", "studies/digits", "digits.toml"])
def test_what_is_no_name_of_an_example_stays(given: str) -> None:
    """Only the bare name of an example means one."""
    assert with_examples(Path(given)) == Path(given)


def test_a_name_means_an_example_unless_there_is_such_a_file() -> None:
    """A file of the user's goes before an example."""
    assert with_examples(Path("digits")) == example_files()["digits"]
    Path("digits").write_text("")
    assert with_examples(Path("digits")) == Path("digits")

"""The environment of started workers."""

import os
import sys
from pathlib import Path

import pytest

import hpsearch
from hpsearch.worker.pool import worker_environment

FOLDER = str(Path(hpsearch.__file__).resolve().parents[1])


def test_a_worker_finds_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package's folder is passed on, first in the user's PYTHONPATH, if the interpreter lacks it."""
    others = [entry for entry in sys.path[1:] if entry and Path(entry).resolve() != Path(FOLDER)]
    monkeypatch.setattr(sys, "path", [FOLDER, *others])
    assert worker_environment({}, "x")["PYTHONPATH"] == FOLDER
    given = {"PYTHONPATH": "/elsewhere"}
    assert worker_environment(given, "x")["PYTHONPATH"] == os.pathsep.join([FOLDER, "/elsewhere"])


def test_an_installed_package_needs_no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the interpreter finds the package by itself, the user's PYTHONPATH is unchanged."""
    monkeypatch.setattr(sys, "path", ["/elsewhere", *sys.path[1:], FOLDER])
    assert "PYTHONPATH" not in worker_environment({}, "x")
    assert worker_environment({"PYTHONPATH": "/own"}, "x")["PYTHONPATH"] == "/own"

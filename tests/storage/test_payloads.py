"""Payloads: series and findings survive being one value of a row."""

import json
import math
import pickle
import struct
import subprocess
import sys
import weakref
import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpsearch.errors import StorageError
from hpsearch.storage.payloads import SERIES_FORMAT, pack_finding, pack_series, unpack_finding, unpack_series
from hpsearch.verdicts import Cause, Finding

numbers = st.floats(width=32)


@given(
    st.integers(0, 5).flatmap(lambda n: st.dictionaries(st.text(), st.lists(numbers, min_size=n, max_size=n)))
)
def test_series_survive_as_float32(series: dict[str, list[float]]) -> None:
    """Names, their order and every float32, NaN and infinity included, come back."""
    read = unpack_series(SERIES_FORMAT, pack_series(series))
    assert list(read) == list(series)
    assert [repr(list(values)) for values in read.values()] == [repr(values) for values in series.values()]


def test_series_are_stored_in_little_endian_float32() -> None:
    """The format is the same on every machine: a line of JSON, then the numbers, compressed."""
    payload = pack_series({"a": [1.0, 1e39], "b": [math.nan, -0.5]})
    header, _, body = zlib.decompress(payload).partition(b"\n")
    assert json.loads(header) == {"names": ["a", "b"], "length": 2}
    assert body[:8] == struct.pack("<2f", 1.0, math.inf)
    assert body[12:] == struct.pack("<f", -0.5)


def test_series_of_unequal_length_are_a_bug() -> None:
    """All series of a trial have one number per epoch."""
    with pytest.raises(ValueError, match=r"^series: must be equally long \(got lengths \[1, 2\]\)$"):
        pack_series({"a": [1.0], "b": [1.0, 2.0]})


def hostile_payloads() -> dict[str, bytes]:
    """Return bytes that are no series, each with the expected reason."""
    header = json.dumps({"names": ["a"], "length": 2}).encode() + b"\n"
    good = header + bytes(8)
    return {
        r"must expand to at most 16777216 bytes \(got more, from \d+ bytes\)": zlib.compress(
            bytes(60 * 2**20)
        ),
        r"must be zlib data": b"no series",
        r"must be whole": zlib.compress(good)[:-6],
        r"must hold 2 numbers for each of 1 names \(got 4 bytes\)": zlib.compress(good[:-4]),
        r"must begin with its names and length \(got b'\[\[": zlib.compress(b"[" * 100_000 + b"\n"),
        r"must begin with its names and length \(got b'\{\}'": zlib.compress(b"{}\n"),
        r"must begin with its names and length \(got b'\{.*-1": zlib.compress(
            b'{"names": [], "length": -1}\n'
        ),
        r"must begin with its names and length \(got b'\\xff'": zlib.compress(b"\xff\n"),
        r"must hold 1000000000000 numbers": zlib.compress(b'{"names": ["a"], "length": 1000000000000}\n'),
    }


@pytest.mark.parametrize("why", list(hostile_payloads()))
def test_bytes_that_are_no_series_are_refused(why: str) -> None:
    """Damaged bytes, and few that expand to many, are named."""
    with pytest.raises(
        StorageError, match=rf"^series: {why}.*: it is damaged, or another program wrote it; see `"
    ):
        unpack_series(SERIES_FORMAT, hostile_payloads()[why])


UNPACK = """
import resource, sys
from pathlib import Path
from hpsearch.errors import StorageError
from hpsearch.storage.payloads import SERIES_FORMAT, unpack_series
payloads = [bytes.fromhex(line) for line in sys.stdin]
(used,) = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmData" in line]
limit = int(used) * 2**10 + 200 * 2**20
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
for payload in payloads:
    try:
        unpack_series(SERIES_FORMAT, payload)
    except StorageError:
        print("refused")
"""
"""A program that unpacks payloads, one in each line of its input, with 200 MB of memory for it."""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit of memory and its use are Linux's")
def test_no_more_than_the_bound_is_ever_expanded() -> None:
    """Hostile bytes, also few that expand to 1 GB, are refused without the memory for them."""
    packer = zlib.compressobj()
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(2**10)) + packer.flush()
    payloads = [bomb, *hostile_payloads().values()]
    ended = subprocess.run(
        [sys.executable, "-c", UNPACK],
        input="\n".join(payload.hex() for payload in payloads),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout.split(), ended.stderr) == (0, ["refused"] * len(payloads), "")


def test_the_longest_series_that_is_packed_can_be_read() -> None:
    """A trial that was looked at millions of times keeps every n-th of its looks, so that its series fit the bound."""
    looks = 3_000_000
    read = unpack_series(SERIES_FORMAT, pack_series({"a": [0.0] * looks, "b": [1.0] * looks}))
    assert {name: set(values) for name, values in read.items()} == {"a": {0.0}, "b": {1.0}}
    assert len(read["a"]) == len(read["b"]) == looks // 3


@pytest.mark.parametrize(
    "text",
    [
        "null",
        "[]",
        "{",
        "[" * 100_000,
        '{"cause": "unknown"}',
        '{"cause": "healthy", "confidence": "x", "first_step": 0, "evidence": {}, "remedy": "", "suggested": {}}',
        '{"cause": "healthy", "confidence": 1, "first_step": "0", "evidence": {}, "remedy": "", "suggested": {}}',
        '{"cause": "healthy", "confidence": 1, "first_step": 0, "evidence": [], "remedy": "", "suggested": {}}',
        '{"cause": "healthy", "confidence": 1, "first_step": 0, "evidence": {}, "remedy": "", "suggested": {"a": []}}',
    ],
)
def test_text_that_is_no_finding_is_refused(text: str) -> None:
    """What is stored where a finding should be is named, with the reason."""
    with pytest.raises(StorageError, match=r"^finding: must be a finding as JSON \(got "):
        unpack_finding(text)


def test_series_of_a_newer_format_are_refused() -> None:
    """An unknown format is refused."""
    with pytest.raises(StorageError) as caught:
        unpack_series(2, b"")
    assert str(caught.value) == "series: format must be at most 1 (got 2): use a newer hpsearch"


@given(
    st.builds(
        Finding,
        cause=st.sampled_from(Cause),
        confidence=st.floats(0, 1),
        first_step=st.integers(0, 2**40),
        evidence=st.dictionaries(st.text(), st.floats()),
        remedy=st.text(),
        suggested=st.dictionaries(
            st.text(),
            st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text() | st.booleans(),
        ),
    )
)
def test_findings_survive(finding: Finding) -> None:
    """Every finding is read back equal, with any numbers."""
    text = pack_finding(finding)
    assert repr(unpack_finding(text)) == repr(finding)


def test_findings_are_json_that_every_program_reads() -> None:
    """NaN and infinity, which JSON lacks, are written as their names."""
    finding = Finding(
        cause=Cause.EXPLODING,
        confidence=1.0,
        first_step=0,
        evidence={"a": math.nan, "b": -math.inf},
        remedy="",
    )
    evidence = json.loads(pack_finding(finding), parse_constant=pytest.fail)["evidence"]
    assert evidence == {"a": "nan", "b": "-inf"}


def test_findings_of_a_newer_version_are_read_as_far_as_they_are_known() -> None:
    """A key that a later version adds to findings does not prevent reading them."""
    finding = Finding(cause=Cause.HEALTHY, confidence=1.0, first_step=0, evidence={}, remedy="")
    raw = {**json.loads(pack_finding(finding)), "mood": "good"}
    assert unpack_finding(json.dumps(raw)) == finding


def test_a_deferred_finding_is_loaded_once_when_it_is_used() -> None:
    """It equals the one that it loads, also in a copy and after it was pickled."""
    finding = Finding(
        cause=Cause.HEALTHY, confidence=1.0, first_step=0, evidence={"loss": 0.5}, remedy="none"
    )
    loads: list[str] = []

    def load() -> Finding:
        loads.append("once")
        return unpack_finding(pack_finding(finding))

    deferred = Finding.deferred(load)
    assert loads == []
    assert deferred.cause is Cause.HEALTHY
    assert deferred == finding == replace(deferred, confidence=1.0)
    assert repr(deferred) == repr(finding)
    assert loads == ["once"]
    assert pickle.loads(pickle.dumps(Finding.deferred(load))) == finding
    with pytest.raises(AttributeError, match="Finding has no attribute mood"):
        getattr(Finding.deferred(load), "mood")  # noqa: B009 # a type checker knows that it is not there


def test_a_loaded_finding_does_not_keep_its_stored_text() -> None:
    """It takes the memory of one finding, not of two forms of it."""

    def load() -> Finding:
        return Finding(cause=Cause.HEALTHY, confidence=1.0, first_step=0, evidence={}, remedy="none")

    stored, deferred = weakref.ref(load), Finding.deferred(load)
    del load
    assert stored() is not None
    assert deferred.remedy == "none"
    assert stored() is None
    assert deferred.cause is Cause.HEALTHY

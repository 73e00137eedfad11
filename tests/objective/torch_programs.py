"""Programs in PyTorch for tests of the monitor: small networks on digits, ill and healthy."""

import os
from typing import Any

import pytest


def require_torch() -> Any:
    """Return torch; skip the module without it, but fail if HPSEARCH_REQUIRE_TORCH is 1."""
    if os.environ.get("HPSEARCH_REQUIRE_TORCH") == "1":
        import torch  # noqa: PLC0415 # it may be missing

        return torch
    return pytest.importorskip("torch", reason="the monitor of PyTorch models needs torch")

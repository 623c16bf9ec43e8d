"""Where published results and tables to try lie; tests that read them skip when the folder is absent."""

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def refs(name: str) -> Path:
    """The folder of one published result, or a skipped test."""
    folder = SHARED / "refs" / name
    if not folder.is_dir():
        pytest.skip(f"reference data '{name}' are not here")
    return folder

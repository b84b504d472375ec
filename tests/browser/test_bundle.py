"""The committed scripts are what their sources build, and the sources pass their own tests."""

from __future__ import annotations

import filecmp
import subprocess
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
SOURCES: Final = ROOT / "api" / "checkout" / "js"
STATIC: Final = ROOT / "api" / "checkout" / "static"


def run(*command: str | Path) -> str:
    """Run a program in the folder of the sources; it succeeds."""
    done = subprocess.run(command, cwd=SOURCES, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4_000:] + done.stderr[-2_000:]
    return done.stdout


def test_the_same_sources_give_the_same_bytes(tmp_path: Path) -> None:
    """Scripts, inventory and licenses; of the loaders the present one."""
    run("node", "build.mjs", "--out", tmp_path)
    built = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert len(built) == 4
    _, different, missing = filecmp.cmpfiles(tmp_path, STATIC, map(str, built), shallow=False)
    assert (different, missing) == ([], [])


def test_the_sources_pass_their_own_tests() -> None:
    """Among them the published vectors of sealed cards, byte for byte."""
    said = run("npm", "test", "--silent")
    assert "# fail 0" in said
    assert "# skipped 0" in said

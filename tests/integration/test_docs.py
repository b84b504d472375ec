"""README and quickstart are run, command by command, and must print what they say.

One demo serves both pages, as it would serve somebody who reads them in a row.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from chassis.settings.tree import Metrics
from tests.support.documents import Step, is_printed, steps_of
from tests.support.postgres import open_folder

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = ("README.md", "docs/quickstart.md")
SAID_DATA_DIR: Final = "~/.local/share/turnout"
SERVING: Final = "A signed request to paste"  # the last thing that a demo says of itself
DEADLINE_S: Final = 90.0
_MARK: Final = "\n@@@ end of step @@@\n"
PORTS: Final = [name.upper() for name in Metrics.__struct_fields__ if name != "host"]


class Reader:
    """Somebody who types what the pages say, with a home and ports of their own."""

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder / "data"
        self._folder = folder
        self._served: dict[str, subprocess.Popen[bytes]] = {}
        # Neither our settings nor those of the `make` that may run this test are the reader's.
        kept = {
            name: text
            for name, text in os.environ.items()
            if not name.startswith(("TURNOUT_", "MAKE", "MFLAGS"))
        }
        self._environ: Mapping[str, str] = {
            **kept,
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "XDG_CONFIG_HOME": str(folder),
            "TURNOUT_DATA_DIR": str(self.data_dir),
            "TURNOUT_API__PORT": "0",
            "TURNOUT_SHOP__PORT": "0",
            "TURNOUT_NETWORKS__VSIM__PORT": "0",
            "TURNOUT_NETWORKS__MSIM__PORT": "0",
            **{f"TURNOUT_METRICS__{name}": "0" for name in PORTS},
        }

    def serve(self, commands: str) -> str:
        """Start commands that go on serving, unless they do already; what they have printed."""
        log = self._folder / "background.log"
        if commands not in self._served:
            with log.open("wb") as output:
                self._served[commands] = subprocess.Popen(
                    ["bash", "-c", f"exec {commands}"],
                    cwd=ROOT,
                    env=self._environ,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
        deadline = time.monotonic() + DEADLINE_S
        while SERVING not in log.read_text():
            assert self._served[commands].poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        return log.read_text()

    def type(self, steps: list[Step]) -> list[str]:
        """Run the steps in one shell; what each has printed."""
        script = "".join(f"{step.commands}\nprintf '%s' '{_MARK}'\n" for step in steps)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=ROOT,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout.split(_MARK)[:-1]

    def stop(self) -> None:
        """Press Ctrl-C where something serves."""
        for process in self._served.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
            process.wait(DEADLINE_S)


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    """One reader for all pages."""
    with open_folder() as folder:
        reader = Reader(folder)
        try:
            yield reader
        finally:
            reader.stop()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_prints_what_it_says(reader: Reader, page: str) -> None:
    """Every command of the page works, and its output is the one on the page."""
    steps = steps_of(ROOT / page)
    printed = [reader.serve(step.commands) for step in steps if step.background]
    typed = [step for step in steps if not step.background]
    printed += reader.type(typed)
    wrong = [
        f"{page}:{step.line} prints:\n{text}"
        for step, text in zip([*(s for s in steps if s.background), *typed], printed, strict=True)
        if step.prints is not None
        and not is_printed(step.prints, text.replace(str(reader.data_dir), SAID_DATA_DIR))
    ]
    assert wrong == [], "\n".join(wrong)


@pytest.mark.parametrize(
    ("said", "printed", "fits"),
    [
        ("pi_0351utlU8roO1OH5y3QTZo ok", "pi_0351utmXkKyreZwALyA0VF ok", True),
        ("pi_0351utlU8roO1OH5y3QTZo ok", "pi_0351utmXkKyreZwALyA0VF not ok", False),
        ("a\n…\nd", "a\nb\nc\nd", True),
        ("a\n…\nd", "b\nc\nd", False),
        ("a\n…\nd", "a\nb\nc", False),
        ('{"id":…,"b":1}', '{"id":7,"b":1}', True),
        ('{"id":…,"b":1}', '{"id":7,"b":2}', False),
        ("a", "a\nb", False),
        ("03:04:05.123  +0.750 s  x", "13:14:15.123   +1.050 s  x", True),
    ],
)
def test_the_comparison_can_fail(said: str, printed: str, *, fits: bool) -> None:
    """What may differ may differ, and nothing else."""
    assert is_printed(said, printed) is fits

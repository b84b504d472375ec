"""Pages that are run: the commands of a Markdown file, and what each is said to print.

A block fenced as `sh` is run, all of a page in one shell. `sh background` is started and left
running until the end; it must come to serve. A `text` block behind a command is what it prints,
on both streams: ids, keys, times, numbers and ports may differ, a line of `…` stands for any number
of lines, and `…` within a line for anything but a line's end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

_BLOCK: Final = re.compile(
    r"^```(?P<kind>sh|sh background|text)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
# What differs from run to run, and what stands for it in a comparison.
_VARIABLE: Final = (
    (re.compile(r"\b(pi|txn|evt|mer)_[0-9A-Za-z]{22}"), r"\1_ID"),
    (re.compile(r"\b([ps]k_test)_[0-9A-Za-z]{43}"), r"\1_KEY"),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:PORT"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "INSTANT"),
    (re.compile(r"\b\d\d:\d\d:\d\d\.\d{3}"), "TIME"),
    (re.compile(r"\+\d+\.\d{3} s"), "ELAPSED"),
    (re.compile(r"STAN \d{6}|\"stan\": \"\d{6}\""), "STAN"),
    (re.compile(r"(?:RRN|rrn) +[0-9A-Z]{12}|\"rrn\": \"[0-9A-Z]{12}\""), "RRN"),
    (re.compile(r"\"de7\": \"\d{10}\""), "DE7"),
    (re.compile(r"approval code \d{6}|\"approvalCode\": ?\"\d{6}\""), "APPROVAL"),
    (re.compile(r"sha256=[0-9a-f]{64}"), "SIGNATURE"),
    (re.compile(r"X-Request-Nonce: [\w-]{24}"), "NONCE"),
    (re.compile(r"\(process \d+\)"), "(process ID)"),
    (re.compile(r"/bin/sh|/usr/bin/sh"), "sh"),
    (re.compile(r"─+"), "─"),
    (re.compile(r"-{3,}"), "---"),
    (re.compile(r"[ \t]+"), " "),
)
ANYTHING: Final = "…"


@attrs.frozen
class Step:
    """One block of commands and what it prints, None where the page does not say."""

    commands: str
    background: bool
    prints: str | None
    line: int


def steps_of(page: Path) -> list[Step]:
    """The commands of a page in order.

    Raises:
        ValueError: a `text` block stands behind no command.
    """
    text = page.read_text()
    steps: list[Step] = []
    for block in _BLOCK.finditer(text):
        line = text.count("\n", 0, block.start()) + 1
        if block["kind"] != "text":
            steps.append(Step(block["text"], block["kind"] == "sh background", None, line))
        elif not steps or steps[-1].prints is not None:
            raise ValueError(f"{page.name}:{line}: output of no command")
        else:
            steps[-1] = attrs.evolve(steps[-1], prints=block["text"])
    return steps


def is_printed(said: str, printed: str) -> bool:
    """Whether what a page says fits what was printed."""
    lines = [line for line in map(str.strip, _normal(said).splitlines()) if line]
    pattern = "".join(_pattern(lines))
    text = "".join(f"{line}\n" for line in map(str.strip, _normal(printed).splitlines()) if line)
    return re.fullmatch(pattern, text) is not None


def _pattern(lines: list[str]) -> Iterator[str]:
    for line in lines:
        if line == ANYTHING:
            yield r"(?:.*\n)*?"
        else:
            yield ".*".join(map(re.escape, line.split(ANYTHING))) + r"\n"


def _normal(text: str) -> str:
    for form, name in _VARIABLE:
        text = form.sub(name, text)
    return text

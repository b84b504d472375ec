"""The front door."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from turnout import COMMANDS, HIDDEN, main

ROOT = Path(__file__).parents[2]
SIGN_ON = "08008220000000000000040000000000000011221214470000010001"
# What takes its time to import, and no help text needs.
HEAVY = (
    "trio",
    "cryptography",
    "psycopg",
    "structlog",
    "rich",
    "prometheus_client",
)
FRONT_DOOR_ONLY = """
import sys
from click.testing import CliRunner
from turnout import main
result = CliRunner().invoke(main, sys.argv[1:])
assert result.exit_code == 0, result.output
print(*(name for name in {heavy!r} if name in sys.modules))
"""


@pytest.mark.parametrize("name", [*COMMANDS, *HIDDEN])
def test_every_command_in_the_table_can_be_called(name: str) -> None:
    """The module is there, and what the table names in it is a command with that help."""
    command = main.get_command(click.Context(main), name)
    assert isinstance(command, click.Command)
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    assert name in COMMANDS or command.hidden


@pytest.mark.parametrize("name", COMMANDS)
def test_the_tables_help_is_the_commands_own(name: str) -> None:
    """The list of commands does not drift from what each one says of itself."""
    command = main.get_command(click.Context(main), name)
    assert command is not None
    said = command.get_short_help_str(limit=200)
    assert said.rstrip(".").split()[:2] == COMMANDS[name][1].rstrip(".").split()[:2]


def test_an_unknown_command_is_a_usage_error() -> None:
    """It exits with 2 and says what it did not know."""
    result = CliRunner().invoke(main, ["teleport"])
    assert result.exit_code == 2
    assert "teleport" in result.output


@pytest.mark.parametrize(
    "error",
    [KeyboardInterrupt(), click.Abort(), BaseExceptionGroup("tasks", [KeyboardInterrupt()])],
    ids=repr,
)
def test_ctrl_c_is_no_fault(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """It has an exit status of its own, also at a prompt, and no traceback."""

    @click.command()
    def waiting() -> None:
        raise error

    monkeypatch.setattr(main, "get_command", lambda _context, _name: waiting)
    result = CliRunner().invoke(main, ["waiting"])
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr.strip() == "turnout: interrupted"


def test_a_fault_beside_ctrl_c_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """What went wrong in another task is raised with it."""
    group = BaseExceptionGroup("tasks", [KeyboardInterrupt(), ZeroDivisionError()])

    @click.command()
    def waiting() -> None:
        raise group

    monkeypatch.setattr(main, "get_command", lambda _context, _name: waiting)
    with pytest.raises(BaseExceptionGroup) as raised:
        CliRunner().invoke(main, ["waiting"])
    assert raised.value is group


@pytest.mark.parametrize(
    "words",
    [(), *((name,) for name in COMMANDS), ("merchants", "create"), ("bench", "charges")],
    ids=lambda words: " ".join(words) or "turnout",
)
def test_help_imports_nothing_that_takes_time(words: tuple[str, ...]) -> None:
    """`--help` answers within 300 ms because what is slow to import is not imported."""
    imported = subprocess.run(
        [sys.executable, "-c", FRONT_DOOR_ONLY.format(heavy=HEAVY), *words, "--help"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert imported.split() == []


@pytest.mark.parametrize("name", COMMANDS)
def test_the_page_of_commands_names_every_command(name: str) -> None:
    """What a script may rely on is written down for each of them."""
    page = (ROOT / "docs" / "commands.md").read_text()
    assert f"\n## {name}\n" in page or f"`{name}`" in page


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_no_fault(closed: str) -> None:
    """Whoever closes standard output or error wants to hear nothing, not a traceback."""
    done = _in_a_shell(f"iso decode {SIGN_ON} {closed}")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_full_disk_behind_the_output_is_told() -> None:
    """What was printed got lost: one line says so, with the status of a fault."""
    done = _in_a_shell("cards > /dev/full")
    assert done.returncode == 1
    assert done.stderr == "turnout: the output cannot be written: No space left on device\n"


def test_a_reader_that_leaves_is_no_news() -> None:
    """As of `| head`: the program ends without a word."""
    done = _in_a_shell("certify --list --json | true; exit ${PIPESTATUS[0]}")
    assert (done.returncode, done.stderr) == (1, "")


def test_a_fault_of_a_file_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what has no file's name can have been the output."""

    @click.command()
    def writing() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/data/file")

    monkeypatch.setattr(main, "get_command", lambda _context, _name: writing)
    assert isinstance(CliRunner().invoke(main, ["writing"]).exception, OSError)


def _in_a_shell(words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f'"$0" -m turnout {words}', sys.executable],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

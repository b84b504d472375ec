"""The commands that act on a running stack, where none runs or the input is wrong."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from chassis.mac import check_value_text
from stack.commands.doubts import doubts
from stack.commands.exceptions import exceptions
from stack.commands.hsm import hsm
from stack.commands.merchants import merchants
from stack.commands.pay import pay
from stack.commands.saf import saf
from stack.credentials import ENVIRONMENT

ADVICE = "att_0000000000000000000001"


def _invoke(command: click.Command, tmp_path: Path, *words: str, typed: str = "") -> Result:
    environ = dict.fromkeys(ENVIRONMENT) | {"XDG_CONFIG_HOME": str(tmp_path)}
    arguments = [*words, "--data-dir", str(tmp_path)]
    return CliRunner().invoke(command, arguments, env=environ, input=typed)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (pay, ()),
        (merchants, ("list",)),
        (merchants, ("create", "--name", "Shop")),
        (merchants, ("show", "mer_0000000000000000000001")),
        (merchants, ("roll", "mer_0000000000000000000001")),
        (merchants, ("revoke", "pk_test_x")),
        (hsm, ("keys",)),
        (saf, ("list",)),
        (saf, ("show", ADVICE)),
        (saf, ("retry", ADVICE)),
        (saf, ("resolve", ADVICE, "reversed", "--note", "J. says so")),
        (doubts, ("list",)),
        (doubts, ("show", ADVICE)),
        (exceptions, ("list",)),
        (exceptions, ("show", "7")),
        (exceptions, ("close", "7", "--note", "J. says so")),
    ],
)
def test_without_a_stack_it_says_how_to_start_one(
    tmp_path: Path, command: click.Command, words: tuple[str, ...]
) -> None:
    """Exit status 3, the data directory by name, and the command that mends it."""
    result = _invoke(command, tmp_path, *words)
    assert result.exit_code == 3
    assert str(tmp_path) in result.stderr
    assert "turnout up" in result.stderr


@pytest.mark.parametrize(
    ("command", "words", "reason"),
    [
        (pay, ("--amount", "0"), "--amount"),
        (pay, ("--amount", "1.5"), "--amount"),
        (pay, ("--amount", "1000000000000"), "--amount"),
        (pay, ("--currency", "dollar"), "--currency"),
        (pay, ("--card", "4242"), "--card"),
        (pay, ("--card", "4242-4242-4242-4242"), "--card"),
        (pay, ("--card", "42424242424242424242"), "--card"),
        (pay, ("--card", "\u0664" * 16), "--card"),
        (merchants, ("show", "mer_1"), "22 characters"),
        (merchants, ("show", "pi_0000000000000000000001"), "mer_"),
        (merchants, ("create",), "--name"),
        (merchants, ("create", "--name", " "), "--name"),
        (merchants, ("create", "--name", "two\nlines"), "--name"),
        (merchants, ("create", "--name", "x" * 101), "--name"),
        (merchants, ("create", "--name", "x", "--country", "US"), "--country"),
        (merchants, ("create", "--name", "x", "--mcc", "59999"), "--mcc"),
        (merchants, ("create", "--name", "x", "--name-location", "Zürich"), "--name-location"),
        (merchants, ("create", "--name", "x", "--card-acceptor-id", "x" * 16), "at most 15"),
        (merchants, ("create", "--name", ""), "not empty"),
        (merchants, ("create", "--name", "x", "--save", "/nowhere/shop.json"), "--save"),
        (merchants, ("roll", f"mer_{22 * '0'}", "--save", "/nowhere/shop.json"), "--save"),
        (hsm, ("load-kek",), "NETWORK"),
        (hsm, ("load-kek", "nosim"), "no such network"),
        (hsm, ("load-kek", "vsim", "--components", "1"), "--components"),
        (hsm, ("load-kek", "vsim", "--components", "4"), "--components"),
        (saf, ("list", "--limit", "0"), "--limit"),
        (saf, ("list", "--limit", "10001"), "--limit"),
        (saf, ("show", "pi_0000000000000000000001"), "att_"),
        (saf, ("resolve", ADVICE, "reversed"), "--note"),
        (saf, ("resolve", ADVICE, "reversed", "--note", " "), "--note"),
        (saf, ("resolve", ADVICE, "reversed", "--note", "x" * 1_001), "at most 1000"),
        (saf, ("resolve", ADVICE, "forgotten", "--note", "x"), "forgotten"),
        (saf, ("retry", ADVICE, "--operator", "two\nlines"), "--operator"),
        (saf, ("retry", ADVICE, "--operator", "x" * 49), "at most 48"),
        (doubts, ("list", "--limit", "0"), "--limit"),
        (doubts, ("show", "pi_0000000000000000000001"), "att_"),
        (exceptions, ("list", "--limit", "0"), "--limit"),
        (exceptions, ("list", "--above", "-1"), "--above"),
        (exceptions, ("list", "--kind", "Late approval"), "--kind"),
        (exceptions, ("show", "att_1"), "NUMBER"),
        (exceptions, ("show", "0"), "NUMBER"),
        (exceptions, ("show", str(2**63)), "NUMBER"),
        (exceptions, ("close", "7"), "--note"),
        (exceptions, ("close", "7", "--note", " "), "--note"),
        (exceptions, ("close", "7", "--note", "x" * 1_001), "at most 1000"),
    ],
)
def test_wrong_input_is_a_usage_error(
    tmp_path: Path, command: click.Command, words: tuple[str, ...], reason: str
) -> None:
    """It is refused before anything is looked for, and names the option."""
    result = _invoke(command, tmp_path, *words)
    assert result.exit_code == 2
    assert reason in result.stderr


def test_a_wrong_card_number_is_not_repeated(tmp_path: Path) -> None:
    """What was meant to be a card number does not come back on the screen."""
    result = _invoke(pay, tmp_path, "--card", "4242424242424242x")
    assert result.exit_code == 2
    assert "42424242" not in result.output


def test_components_are_asked_for_one_by_one(tmp_path: Path) -> None:
    """Digits are not echoed; the first mistyped one ends it, before anything is sent."""
    parts = [bytes(range(32)), b"\x5a" * 32, b"\x77" * 32]
    typed = "".join(f"{part.hex()}\n{check_value_text(part)}\n" for part in parts)
    words = ("load-kek", "vsim", "--components", "3")
    result = _invoke(hsm, tmp_path, *words, typed=typed)
    assert (result.exit_code, result.stdout) == (3, "")
    assert "turnout up" in result.stderr
    assert "Check value of component 3" in result.stderr
    assert not any(part.hex() in result.output for part in parts)
    wrong = typed.replace(check_value_text(parts[1]), "000000")
    result = _invoke(hsm, tmp_path, *words, typed=wrong)
    assert result.exit_code == 1
    assert "component 2 has another check value" in result.stderr
    assert "Component 3" not in result.stderr


def test_components_that_end_too_early_are_a_usage_error(tmp_path: Path) -> None:
    """Nobody interrupted anything: standard input is not a person who types."""
    result = _invoke(hsm, tmp_path, "load-kek", "vsim", typed="")
    assert result.exit_code == 2
    assert "--component FILE" in result.stderr

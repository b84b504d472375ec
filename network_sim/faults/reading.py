"""Reads fault scripts: TOML, or JSON lines where the file's name ends in .jsonl.

TOML holds a `seed` and one `[[rules]]` table per rule. Of JSON lines each holds one rule, or the
seed alone: `{"seed": 7}`. A rule looks the same in both; `network_sim.faults.rules` and `.actions`
are its grammar:

    [[rules]]
    match = { mti = "0200" }
    nth = "2.."
    action = { do = "delay", s = 0.3 }
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from network_sim.faults.rules import Rule
from network_sim.faults.script import SEED_DEFAULT, FaultScript

_JSON_LINES = ".jsonl"


class ScriptError(ValueError):
    """A fault script cannot be used; names the file, the place and the reason."""


class _Document(Struct, forbid_unknown_fields=True):
    seed: int = SEED_DEFAULT
    rules: tuple[dict[str, Any], ...] = ()


class _Seed(Struct, forbid_unknown_fields=True):
    seed: int


def read_script(path: Path, *, seed: int | None = None) -> FaultScript:
    """Read a fault script from a file.

    Args:
        path: of the file.
        seed: in place of the one it names.

    Raises:
        ScriptError: it cannot be read, or used.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ScriptError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ScriptError(f"{path}: not UTF-8") from None
    return parse_script(text, str(path), seed=seed)


def parse_script(text: str, file: str, *, seed: int | None = None) -> FaultScript:
    """Read a fault script; its form is that of the file's name.

    Raises:
        ScriptError: names the file, the rule or line, and the reason.
    """
    if file.endswith(_JSON_LINES):
        found, rules = _parse_lines(text, file)
    else:
        found, rules = _parse_toml(text, file)
    script = FaultScript(seed=found if seed is None else seed)
    for place, rule in rules:
        try:
            script.add(rule)
        except ValueError as error:
            raise ScriptError(f"{place}: {error}") from None
    return script


def _parse_toml(text: str, file: str) -> tuple[int, list[tuple[str, Rule]]]:
    try:
        document = msgspec.toml.decode(text, type=_Document)
    except msgspec.DecodeError as error:
        raise ScriptError(f"{file}: {error}") from None
    return document.seed, [
        (place, _rule(table, place))
        for place, table in (
            (f"{file}: rule {number}", table) for number, table in enumerate(document.rules, 1)
        )
    ]


def _parse_lines(text: str, file: str) -> tuple[int, list[tuple[str, Rule]]]:
    seed, rules = SEED_DEFAULT, []
    for number, line in enumerate(text.splitlines(), start=1):
        place = f"{file}: line {number}"
        if not line.strip():
            continue
        try:
            table = msgspec.json.decode(line, type=dict[str, Any])
            if "seed" in table:
                seed = msgspec.convert(table, _Seed).seed
                continue
        except msgspec.DecodeError as error:
            raise ScriptError(f"{place}: {error}") from None
        rules.append((place, _rule(table, place)))
    return seed, rules


def _rule(table: dict[str, Any], place: str) -> Rule:
    try:
        # Element numbers are keys of tables, which JSON and TOML know as text only.
        return msgspec.convert(table, Rule, strict=True, str_keys=True)
    except msgspec.ValidationError as error:
        raise ScriptError(f"{place}: {error}") from None

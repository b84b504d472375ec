"""Scripts from files."""

from __future__ import annotations

from pathlib import Path

import pytest

from network_sim.faults import (
    Alter,
    Close,
    Delay,
    Match,
    Rule,
    ScriptError,
    parse_script,
    read_script,
)

TOML = """
seed = 7

[[rules]]
name = "late"
match = { mti = ["0100", "0200"], amount = [1000, 1999], elements = { 42 = "SHOP*" } }
nth = "2.."
action = { do = "delay", s = 0.5 }

[[rules]]
match = { function = "echo" }
actions = [{ do = "alter", set = { 39 = "05" }, wrong = [11] }, { do = "close", how = "rst" }]
"""
JSON_LINES = """
{"seed": 7}
{"name": "late", "match": {"mti": ["0100", "0200"], "amount": [1000, 1999], \
"elements": {"42": "SHOP*"}}, "nth": "2..", "action": {"do": "delay", "s": 0.5}}

{"match": {"function": "echo"}, "actions": [{"do": "alter", "set": {"39": "05"}, "wrong": [11]}, \
{"do": "close", "how": "rst"}]}
"""
RULES = [
    Rule(
        name="late",
        match=Match(mti=("0100", "0200"), amount=(1000, 1999), elements={42: "SHOP*"}),
        nth="2..",
        action=Delay(s=0.5),
    ),
    Rule(
        match=Match(function="echo"),
        actions=(Alter(set={39: "05"}, wrong=(11,)), Close(how="rst")),
    ),
]


@pytest.mark.parametrize(("name", "text"), [("faults.toml", TOML), ("faults.jsonl", JSON_LINES)])
def test_both_forms_say_the_same(tmp_path: Path, name: str, text: str) -> None:
    """Seed and rules, as they would be written in Python."""
    (tmp_path / name).write_text(text)
    script = read_script(tmp_path / name)
    assert (script.seed, list(script)) == (7, RULES)
    assert read_script(tmp_path / name, seed=9).seed == 9


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rules = 1", r"x\.toml: Expected `array`"),
        ("sed = 1", r"x\.toml: Object contains unknown field `sed`"),
        ("[[rules]]\naction = { do = 'explode' }", r"rule 1: Invalid value 'explode'"),
        ("[[rules]]\naction = { do = 'delay' }", r"rule 1: .*missing required field `s`"),
        ("[[rules]]\naction = { do = 'delay', s = -1 }", r"rule 1: Expected `float` >= 0"),
        ("[[rules]]\naction = { do = 'answer', code = '5' }", "rule 1: .*regex"),
        ("[[rules]]\nnth = 'soon'\naction = { do = 'withhold' }", "rule 1: nth is"),
        ("[[rules]]\nmatch = { mit = '1' }\naction = { do = 'ignore' }", "unknown field `mit`"),
        ("[[rules]]\nname = 'a'", "rule 1: a rule has an action"),
        ("[[rules]]\naction = { do = 'corrupt', how = 'mti' }", "rule 1: value belongs to"),
        (
            "[[rules]]\nname='a'\naction={do='ignore'}\n[[rules]]\nname='a'\naction={do='ignore'}",
            "rule 2: there is a rule called 'a' already",
        ),
        ("[[rules]", r"x\.toml: "),
    ],
)
def test_what_cannot_be_used_is_named(text: str, words: str) -> None:
    """File, rule, and what is wrong with it."""
    with pytest.raises(ScriptError, match=words):
        parse_script(text, "x.toml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('\n{"seed": 1}\nno json', r"x\.jsonl: line 3: "),
        ('{"seed": "one"}', r"line 1: Expected `int`"),
        ('{"action": {"do": "delay"}}', r"line 1: .*missing required field `s`"),
    ],
)
def test_lines_are_named_by_number(text: str, words: str) -> None:
    """As editors count them."""
    with pytest.raises(ScriptError, match=words):
        parse_script(text, "x.jsonl")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """And one that is no text."""
    with pytest.raises(ScriptError, match=r"none\.toml: No such file"):
        read_script(tmp_path / "none.toml")
    (tmp_path / "x.toml").write_bytes(b"\xff")
    with pytest.raises(ScriptError, match=r"x\.toml: not UTF-8"):
        read_script(tmp_path / "x.toml")

"""The pages on the simulator say what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from network_sim.cards import load_cards, load_ranges
from network_sim.console_commands import COMMANDS
from network_sim.faults import Action, Rule, parse_script
from network_sim.faults.corruptions import _IN_ELEMENT, _IN_MESSAGE
from network_sim.journal import COLUMNS
from network_sim.network_command import network
from network_sim.refusals import RULES
from network_sim.standalone import trigger_rules

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "simulator.md").read_text("utf-8")
ACQUIRERS = (DOCS / "acquirers.md").read_text("utf-8")


def test_every_card_and_range_is_described() -> None:
    """In the order of the card file, and no other number."""
    assert re.findall(r"^\| (\d{16}) \|", PAGE, re.MULTILINE) == [c.number for c in load_cards()]
    assert re.findall(r"^\| (\d{16}) to (\d{16}) \|", PAGE, re.MULTILINE) == [
        (entry.first, entry.last) for entry in load_ranges()
    ]


def test_every_column_of_the_record_is_described() -> None:
    """By its number and name."""
    described = re.findall(r"^\| (\d+) \| `(\w+)` \|", PAGE, re.MULTILINE)
    assert described == [(str(number), name) for number, name in enumerate(COLUMNS, start=1)]


def test_every_trigger_is_listed() -> None:
    """In the file's order, under the names that the network prints."""
    listed = re.findall(r"^\| (\d+\.\d\d) \| (.+) \|$", ACQUIRERS, re.MULTILINE)
    assert listed == [(_amount(rule), rule.name) for rule in trigger_rules()]


def _amount(rule: Rule) -> str:
    assert isinstance(rule.match.amount, int)
    return f"{rule.match.amount // 100}.{rule.match.amount % 100:02d}"


def test_every_rule_of_refusal_is_listed() -> None:
    """By name and words."""
    listed = re.findall(r"^\| ([TFSM]\d) \| (.+) \|$", ACQUIRERS, re.MULTILINE)
    assert listed == [(rule.name, rule.words) for rule in RULES]


def test_every_action_is_described() -> None:
    """With each of its settings."""
    described = dict(re.findall(r"^\| `(\w+)` \|(.*?)\| .+ \|$", ACQUIRERS, re.MULTILINE))
    for kind in get_args(Action):
        assert kind.__struct_config__.tag in described
        for name in kind.__struct_fields__:
            assert f"`{name}`" in described[kind.__struct_config__.tag]
    assert all(how in ACQUIRERS for how in (*_IN_ELEMENT, *_IN_MESSAGE))


def test_every_command_and_option_is_described() -> None:
    """As they are typed."""
    for command in COMMANDS.values():
        assert f"`{command.usage}`".replace("|", "\\|") in ACQUIRERS or command.usage in ACQUIRERS
    for option in network.params:
        assert any(f"`{name}" in ACQUIRERS for name in [*option.opts, *option.secondary_opts])


def test_the_pages_example_script_can_be_read() -> None:
    """What is printed there works."""
    [example] = re.findall(r"```toml\n(seed.*?)```", ACQUIRERS, re.DOTALL)
    script = parse_script(example, "example.toml")
    assert (script.seed, len(script)) == (7, 3)

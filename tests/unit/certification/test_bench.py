"""How cases are dealt out to stacks."""

from __future__ import annotations

from certification.bench import CASES_PER_STACK_MAX, in_groups
from certification.registry import Script, plays_of


async def play(_desk: object) -> None:
    """Nothing: these are never played."""


def test_groups_are_bounded_and_lose_nobody() -> None:
    """Each play is in one group; what must be alone is alone."""
    scripts = {f"c{number}": Script(play=play) for number in range(47)}
    scripts["kills"] = Script(play=play, alone=True)
    groups = in_groups(scripts)
    assert sorted(name for group in groups for name in group) == sorted(scripts)
    assert max(len(group) for group in groups) <= CASES_PER_STACK_MAX
    assert {"kills"} in [set(group) for group in groups]


def test_a_case_of_both_policies_is_played_twice() -> None:
    """Once asking the network first, once reversing at once."""
    plays = plays_of("RV01", Script(play=play, both_policies=True))
    policies = {name: script.settings["unknown_policy"] for name, script in plays.items()}
    assert policies == {"RV01": "inquire_then_reverse", "RV01_reverse": "reverse"}
    assert list(plays_of("AU01", Script(play=play))) == ["AU01"]

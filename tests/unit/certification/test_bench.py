"""How cases are dealt out to stacks, and how results are put together."""

from __future__ import annotations

from certification.bench import CASES_PER_STACK_MAX, in_groups
from certification.registry import Row, Script, plays_of
from certification.runner import Result, merged

ROW = Row("RV01", "p", "s", "e")


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


def test_one_failed_play_fails_the_case() -> None:
    """A case passes only if every play of it does; the reasons come first."""
    good = Result(row=ROW, result="passed", seconds=1.0, evidence=["fine"])
    bad = Result(row=ROW, result="failed", seconds=2.0, evidence=["✗ broken"])
    both = merged([good, bad])
    assert (both.result, both.seconds, both.evidence) == ("failed", 2.0, ["✗ broken", "fine"])
    assert merged([good, good]).result == "passed"
    assert merged([good]) is good

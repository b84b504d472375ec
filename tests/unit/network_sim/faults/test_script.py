"""A script at work: counting, chance, and changes while it runs."""

from __future__ import annotations

import pytest

from network_sim.faults import Answer, Delay, FaultScript, Match, Rule, Withhold
from tests.support.network import management, sale


def _applied(script: FaultScript, count: int = 20) -> list[int]:
    """Which of some sales the script does anything to."""
    return [number for number in range(1, count + 1) if script.deeds(sale(), 1, {})]


def test_every_matching_rule_applies_in_order() -> None:
    """Their actions come with the names of their rules."""
    script = FaultScript(
        [
            Rule(name="late", actions=(Delay(s=1), Withhold())),
            Rule(match=Match(mti="0800"), action=Answer(code="91")),
            Rule(match=Match(mti="0200"), action=Answer(code="05")),
        ]
    )
    deeds = script.deeds(sale(), 1, {})
    assert [(deed.rule, deed.action) for deed in deeds] == [
        ("late", Delay(s=1)),
        ("late", Withhold()),
        ("rule-3", Answer(code="05")),
    ]


def test_a_rule_counts_its_own_messages() -> None:
    """What does not match is not counted; what `nth` leaves out is."""
    script = FaultScript([Rule(name="second", match=Match(mti="0200"), nth=2, action=Withhold())])
    for fields in (sale(), management("301"), sale(), sale()):
        script.deeds(fields, 1, {})
    assert (script.matched("second"), script.applied("second")) == (3, 1)


def test_chance_follows_the_seed() -> None:
    """The same seed takes the same messages, another one others."""

    def script(seed: int) -> FaultScript:
        return FaultScript([Rule(name="some", probability=0.5, action=Withhold())], seed=seed)

    assert _applied(script(7)) == _applied(script(7))
    assert _applied(script(7)) != _applied(script(8))
    assert 3 < len(_applied(script(7))) < 17


def test_chance_does_not_depend_on_other_messages() -> None:
    """What lies between two messages of a rule changes nothing for them."""
    rule = Rule(name="some", match=Match(mti="0200"), probability=0.5, action=Withhold())
    alone, crowded = FaultScript([rule]), FaultScript([Rule(name="x", action=Delay(s=0)), rule])
    for number in range(20):
        if number % 3:
            crowded.deeds(management("301"), 1, {})
        expected = bool(alone.deeds(sale(), 1, {}))
        assert any(deed.rule == "some" for deed in crowded.deeds(sale(), 1, {})) is expected


def test_rules_come_and_go() -> None:
    """A rule that stays goes on counting; replacing begins anew."""
    script = FaultScript([Rule(name="third", nth=3, action=Withhold())])
    script.deeds(sale(), 1, {})
    name = script.add(Rule(action=Delay(s=1)))
    script.remove(name)
    assert [rule.name for rule in script] == ["third"]
    assert _applied(script, 3) == [2]
    script.replace([Rule(name="third", nth=3, action=Withhold())])
    assert _applied(script, 3) == [3]
    script.clear()
    assert len(script) == 0


def test_names_are_given_once() -> None:
    """An unnamed rule takes a free one."""
    script = FaultScript([Rule(name="rule-1", action=Withhold())])
    assert script.add(Rule(action=Withhold())) == "rule-2"
    with pytest.raises(ValueError, match="rule-2"):
        script.add(Rule(name="rule-2", action=Withhold()))
    with pytest.raises(KeyError):
        script.remove("rule-9")

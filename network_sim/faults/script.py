"""A fault script at work: its rules, how often each has matched, and its seed. Pure.

What is drawn by chance depends on the seed, on the rule's name and on how many messages the rule
has matched, and on nothing else: the same script and seed do the same to the same messages, however
other messages come between them.

The rules may be changed while a network runs; a rule that stays goes on counting.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from random import Random
from typing import Final

import attrs

from network_sim.faults.actions import Action
from network_sim.faults.rules import Fields, Nth, Rule

SEED_DEFAULT: Final = 1


@attrs.frozen
class Deed:
    """One action of a rule that applies to one message."""

    rule: str
    action: Action
    chance: Random  # for whatever the action leaves to chance


@attrs.define
class _Standing:
    """A rule in a script."""

    rule: Rule
    nth: Nth
    matched: int = 0
    applied: int = 0


class FaultScript:
    """Rules in their order; each one that matches applies.

    Args:
        rules: to begin with.
        seed: of everything left to chance.

    Attributes:
        seed: as given.
    """

    def __init__(self, rules: Iterable[Rule] = (), *, seed: int = SEED_DEFAULT) -> None:
        self.seed = seed
        self._standing: dict[str, _Standing] = {}
        for rule in rules:
            self.add(rule)

    def __iter__(self) -> Iterator[Rule]:
        return (standing.rule for standing in self._standing.values())

    def __len__(self) -> int:
        return len(self._standing)

    def add(self, rule: Rule) -> str:
        """Add a rule behind the others; return its name, by which it can be removed.

        Raises:
            ValueError: another rule has the name.
        """
        name = rule.name or self._free_name()
        if name in self._standing:
            raise ValueError(f"there is a rule called {name!r} already")
        self._standing[name] = _Standing(rule, Nth.of(rule.nth))
        return name

    def remove(self, name: str) -> None:
        """Take a rule out.

        Raises:
            KeyError: there is none of that name.
        """
        del self._standing[name]

    def clear(self) -> None:
        """Take every rule out."""
        self._standing.clear()

    def replace(self, rules: Iterable[Rule]) -> None:
        """Put these rules in place of all others; counting begins anew."""
        self.clear()
        for rule in rules:
            self.add(rule)

    def matched(self, name: str) -> int:
        """How many messages a rule has matched so far, taken by `nth` or not."""
        return self._standing[name].matched

    def applied(self, name: str) -> int:
        """How many messages a rule has applied to so far."""
        return self._standing[name].applied

    def counts(self) -> list[tuple[str, int, int]]:
        """Every rule's name, how often it has matched, and applied."""
        return [(name, each.matched, each.applied) for name, each in self._standing.items()]

    def deeds(self, fields: Fields, connection: int, functions: Mapping[str, str]) -> list[Deed]:
        """What is to happen to a request; arguments as of `Match.fits`. Counts it."""
        deeds: list[Deed] = []
        for name, standing in self._standing.items():
            rule = standing.rule
            if not rule.match.fits(fields, connection, functions):
                continue
            standing.matched += 1
            if not standing.nth.takes(standing.matched):
                continue
            # Replayable on purpose: nothing here is a secret.
            chance = Random(f"{self.seed}/{name}/{standing.matched}")  # noqa: S311
            if rule.probability < 1 and chance.random() >= rule.probability:
                continue
            standing.applied += 1
            deeds += [Deed(name, action, chance) for action in rule.all_actions]
        return deeds

    def _free_name(self) -> str:
        number = len(self._standing) + 1
        while f"rule-{number}" in self._standing:
            number += 1
        return f"rule-{number}"

"""Balances are the sums of the record."""

from __future__ import annotations

from chassis.settings.tree import Network, Simulator
from network_sim.accounts import Balance, balances
from network_sim.decisions import Moment
from network_sim.journal import Entry
from network_sim.service import make_issuer
from switch.iso8583 import Dialect
from tests.support.network import authorization, capture, remaining, reversal, sale
from tests.support.network_host import OPENS_ON

NOW = Moment.at(1_795_331_402_000_000)
CARD = "424242******4242"


def test_a_day_of_one_card(dialect: Dialect) -> None:
    """A sale, its refund, an authorization captured in two parts, the rest released."""
    issuer = make_issuer(Network(bins=("4",)), Simulator(), dialect, opens_on=OPENS_ON)
    held = authorization({11: "000010", 37: "AUTH00000001", 4: "000000010000"})
    messages = [
        sale(),
        sale({3: "200000", 4: "000000000499", 11: "000011", 37: "REFUND000001"}),
        held,
        capture(held, {11: "000012", 4: "000000003000"}),
        capture(held, {11: "000013", 4: "000000002000"}),
        sale({49: "978", 11: "000014"}),
    ]
    lines = [issuer.decide(fields, NOW).line for fields in messages]
    assert balances(_entries(lines)) == {
        (CARD, "840"): Balance(held=5000, posted=2000 + 5000),
        (CARD, "978"): Balance(held=0, posted=2499),
    }
    release = reversal(held, {11: "000015", 95: remaining(5000)})
    lines.append(issuer.decide(release, NOW).line)
    lines.append(issuer.decide(reversal(messages[0], {11: "000016"}), NOW).line)
    assert balances(_entries(lines))[CARD, "840"] == Balance(held=0, posted=5000 - 499)


def _entries(lines: list[str]) -> list[Entry]:
    return [Entry.parse(line.removesuffix("\n")) for line in lines]

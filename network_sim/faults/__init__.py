"""Faults on purpose: what a simulated network does to messages and connections, as data.

A `FaultScript` holds rules; a rule says which messages it takes and what happens to them:

    script = FaultScript(
        [
            Rule(match=Match(mti="0200", pan="*6801"), action=Delay(s=0.3)),
            Rule(match=Match(mti="0420"), nth="1..5", action=Withhold()),
        ],
        seed=7,
    )

The same is read from TOML or JSON lines by `read_script`. `docs/acquirers.md` lists every action.
"""

from __future__ import annotations

from network_sim.faults.actions import (
    Action,
    Alter,
    Answer,
    Close,
    Corrupt,
    Delay,
    Duplicate,
    Elsewhere,
    Ignore,
    Initiate,
    Interim,
    KeepAlives,
    Lie,
    Mac,
    Merge,
    Postpone,
    Redeliver,
    Reframe,
    Reorder,
    Split,
    Stall,
    Unsolicited,
    Withhold,
)
from network_sim.faults.reading import ScriptError, parse_script, read_script
from network_sim.faults.rules import Match, Rule
from network_sim.faults.script import SEED_DEFAULT, Deed, FaultScript

__all__ = [
    "SEED_DEFAULT",
    "Action",
    "Alter",
    "Answer",
    "Close",
    "Corrupt",
    "Deed",
    "Delay",
    "Duplicate",
    "Elsewhere",
    "FaultScript",
    "Ignore",
    "Initiate",
    "Interim",
    "KeepAlives",
    "Lie",
    "Mac",
    "Match",
    "Merge",
    "Postpone",
    "Redeliver",
    "Reframe",
    "Reorder",
    "Rule",
    "ScriptError",
    "Split",
    "Stall",
    "Unsolicited",
    "Withhold",
    "parse_script",
    "read_script",
]

"""The rules by which a network refuses handshakes, frames and messages, each with a name to quote.

`docs/acquirers.md` explains every one of them under this name.
"""

from __future__ import annotations

from typing import Final

import attrs


@attrs.frozen
class Rule:
    """One rule.

    Attributes:
        name: a letter and a number: T = TLS, F = frames, S = session, M = messages.
        words: what it demands.
        signs: what a reason contains when it was broken.
    """

    name: str
    words: str
    signs: tuple[str, ...]


RULES: Final = (
    Rule("T1", "the client speaks TLS", ("does not speak TLS",)),
    Rule("T2", "TLS 1.3, nothing older", ("no TLS 1.3", "the peer speaks TLSv")),
    Rule("T3", "the client presents a certificate", ("presented no certificate",)),
    Rule(
        "T4",
        "of the CA in ca.pem, in its time, for clients",
        ("certificate is refused", "certificate does not"),
    ),
    Rule("T5", "for the name that the network expects", ("certificate is for",)),
    Rule("T6", "ALPN turnout-iso8583, or none", ("did not choose the protocol",)),
    Rule("T7", "the handshake ends within 5 s", ("handshake took too long",)),
    Rule(
        "F1", "a length within bounds, of the dialect's kind", ("length", "TPDU", "header", "ETX")
    ),
    Rule("F2", "a frame that begins arrives within 5 s", ("did not arrive in time",)),
    Rule("F3", "at most 16 frames of length zero in a row", ("zero-length frames",)),
    Rule("F4", "answers are read", ("does not read",)),
    Rule("S1", "sign on (0800) before anything financial", ("while connected", "while signed_off")),
    Rule("S2", "something to say at least every 180 s", ("nothing heard",)),
    Rule("M1", "a message of the dialect, element by element", ("undecodable",)),
    Rule("M2", "a MAC by a key of ours (DE 53, DE 64 or 128)", ("MAC",)),
    Rule("M3", "answers to what was asked only", ("has no answer",)),
)
_BY_NAME: Final = {rule.name: rule for rule in RULES}
# Where one sign is part of another: look these up first.
_FIRST: Final = ("F2", "F3", "M1", "M2", "T3", "T4", "T5")


def rule_of(reason: str) -> Rule | None:
    """The rule that a reason speaks of; None where no rule of ours was broken."""
    ordered = [_BY_NAME[name] for name in _FIRST] + [r for r in RULES if r.name not in _FIRST]
    return next((rule for rule in ordered if any(sign in reason for sign in rule.signs)), None)

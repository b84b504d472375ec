"""What waits between the stages of the pipeline."""

from __future__ import annotations

import attrs

from chassis.settings import Switch
from chassis.stage import Inbox
from ledger.completions import Acknowledgment
from switch.pipeline.completing import ACKNOWLEDGMENTS_MAX
from switch.pipeline.held import Held
from switch.pipeline.orphans import ORPHANS_MAX, Orphan
from switch.pipeline.payment import Payment
from switch.pipeline.settling import Settlement

Waiting = (
    Inbox[Payment] | Inbox[Settlement] | Inbox[Orphan] | Inbox[Acknowledgment] | Held[Settlement]
)


@attrs.frozen
class Inboxes:
    """What waits in front of each stage; every bound follows from admission."""

    lookup: Inbox[Payment]
    opening: Inbox[Payment]
    recording: Inbox[Payment]
    slow: Inbox[Payment]
    settling: Inbox[Settlement]
    orphans: Inbox[Orphan]
    acknowledgments: Inbox[Acknowledgment]

    @classmethod
    def sized(cls, limits: Switch) -> Inboxes:
        """Inboxes for so many payments inside."""
        inside = limits.credits_max
        return cls(
            lookup=Inbox(inside, name="lookup"),
            opening=Inbox(inside, name="opening"),
            recording=Inbox(inside, name="recording"),
            slow=Inbox(inside, name="slow"),
            # Late answers come for payments that have given their credit back.
            settling=Inbox(inside + limits.answered_keys_max, name="settling"),
            orphans=Inbox(ORPHANS_MAX, name="orphans"),
            acknowledgments=Inbox(ACKNOWLEDGMENTS_MAX, name="acknowledgments"),
        )

    def all(self) -> tuple[Waiting, ...]:
        """In the order of their stages."""
        return (
            self.lookup,
            self.opening,
            self.recording,
            self.slow,
            self.settling,
            self.orphans,
            self.acknowledgments,
        )

"""What a link group tells the pipeline: one event for each message's fate, and for strays.

`token` is what the pipeline gave with the message, whatever that is; `link` is the number of the
connection on which an answer came in, which need not be the one its question left on.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

CorrelationKey = str  # built by `switch.link.correlation.correlation_key`
Fields = dict[int, str]


class Answered(Struct, gc=False, frozen=True):
    """The first answer, in time."""

    token: Any
    fields: Fields
    link: int


class Unknown(Struct, gc=False, frozen=True):
    """Bytes may have left and nothing is known of what came of them (money.md 6).

    Reasons: `timeout`, `link_lost`, `bad_mac` (an answer came that is not authentic).
    """

    token: Any
    reason: str


class NotSent(Struct, gc=False, frozen=True):
    """No byte left: it may go again on another link of the same group (money.md 5).

    Reasons: `too_old`, `link_lost`, `signed_off`, `no_link`, `outbox_full`, `frame_too_large`,
    `duplicate_key`, `mac_unavailable` (the HSM was away for too long), `mac_refused` (by the HSM).
    """

    token: Any
    reason: str


class Late(Struct, gc=False, frozen=True):
    """An answer to a message already reported as unknown."""

    token: Any
    key: CorrelationKey
    fields: Fields
    link: int


class Duplicate(Struct, gc=False, frozen=True):
    """A further answer to a message that has one; `first_code` is DE 39 of the first."""

    key: CorrelationKey
    fields: Fields
    first_code: str
    link: int


class Unmatched(Struct, gc=False, frozen=True):
    """No message of ours in memory is answered by this one: the ledger may know more."""

    key: CorrelationKey
    fields: Fields
    link: int


class Elsewhere(Struct, gc=False, frozen=True):
    """The answer to a message in flight came by another link, which the dialect does not allow.

    It is not taken for an answer: the message waits on, and is unknown at its deadline.
    """

    key: CorrelationKey
    fields: Fields
    link: int
    sent_on: int


LinkEvent = Answered | Unknown | NotSent | Late | Duplicate | Unmatched | Elsewhere

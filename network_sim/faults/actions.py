"""What a rule of a fault script can do to a message or its answer: one record per deed. Data.

In a script's file an action is a table whose `do` names it, `action = { do = "delay", s = 0.3 }`;
in Python it is the class, `Delay(s=0.3)`. Seconds are scaled by the network's time factor.

Actions apply in the order of a message's life, whatever the order in the script:

    the request        Ignore, Postpone, Redeliver, Stall
    the decision       Answer, Withhold
    the answer         Interim, Alter
    its bytes          Mac, Corrupt
    its frame          Lie, Reframe
    its way            Delay, Elsewhere, Merge, Reorder, Split
    beside it          Duplicate, Unsolicited, KeepAlives, Initiate, Close
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, field

from switch.dialects.framings import LengthKind

DELAY_S_MAX: Final = 3_600.0
COUNT_MAX: Final = 10_000

Seconds = Annotated[float, Meta(ge=0, le=DELAY_S_MAX)]
Count = Annotated[int, Meta(ge=1, le=COUNT_MAX)]
Code = Annotated[str, Meta(pattern=r"^[0-9A-Z]{2}$")]
ElementNumber = Annotated[int, Meta(ge=0, le=192)]
Elements = dict[ElementNumber, str]
HowToClose = Literal["goodbye", "fin", "rst"]


class ActionTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="do"):
    """Base of all actions: a table whose `do` names it."""


class Ignore(ActionTable, frozen=True, tag="ignore"):
    """The network never saw the request: nothing is decided."""


class Postpone(ActionTable, frozen=True, tag="postpone"):
    """Take the request in later, as if it had been under way so long: others overtake it."""

    s: Seconds


class Redeliver(ActionTable, frozen=True, tag="redeliver"):
    """Take the request in twice, as if it had been doubled on its way; both are answered."""


class Stall(ActionTable, frozen=True, tag="stall"):
    """Read nothing more of this connection for a while; 0 = for ever."""

    s: Seconds = 0.0


class Answer(ActionTable, frozen=True, tag="answer"):
    """Decide with this response code.

    With code 10 so much of the amount is approved: `approved` in minor units, or else `percent`.
    A capture or a reversal that is refused so is not decided and may be repeated.
    """

    code: Code
    approved: Annotated[int, Meta(ge=0)] = 0
    percent: Annotated[int, Meta(ge=1, le=99)] = 60


class Withhold(ActionTable, frozen=True, tag="withhold"):
    """Decide, and lose the answer."""


class Interim(ActionTable, frozen=True, tag="interim"):
    """Answer twice: at once with `code`, after a while with what was decided."""

    code: Code = "09"
    s: Seconds = 0.2


class Alter(ActionTable, frozen=True, tag="alter"):
    """Change the answer's elements before it is packed; element 0 is the MTI.

    `wrong` puts another value of the same form in place of an element's own.
    """

    set: Elements = field(default_factory=dict)
    remove: tuple[ElementNumber, ...] = ()
    wrong: tuple[ElementNumber, ...] = ()


class Mac(ActionTable, frozen=True, tag="mac"):
    """Send a wrong MAC, none, or one by a key that is not the peer's any more."""

    how: Literal["wrong", "absent", "expired"]


class Corrupt(ActionTable, frozen=True, tag="corrupt"):
    """Break the packed answer; see `network_sim.faults.corruptions` for what each word does."""

    how: Literal[
        "byte",
        "digit",
        "pad",
        "truncated",
        "trailing",
        "bit",
        "no_bit",
        "second_bitmap",
        "empty_bitmap",
        "prefix",
        "empty",
        "control",
        "mti",
        "replaced",
    ]
    element: ElementNumber = 0  # 0 = one that fits, or none needed
    offset: int = -1  # of `byte`; -1 = drawn by the seed
    count: Count = 1  # of `truncated` and `trailing`
    value: Annotated[str, Meta(pattern=r"^([0-9A-Fa-f]{2})*$")] = ""  # of `mti` and `replaced`: hex

    def __post_init__(self) -> None:
        """Refuse one that lacks what it puts in, or has what it does not."""
        if (self.how in ("mti", "replaced")) is not (self.value != ""):
            raise ValueError("value belongs to how = 'mti' and how = 'replaced'")


class Lie(ActionTable, frozen=True, tag="lie"):
    """Announce another length: `length` if it is given, else the true one plus `by`."""

    by: int = 0
    length: Annotated[int, Meta(ge=-1)] = -1


class Reframe(ActionTable, frozen=True, tag="reframe"):
    """Put another kind of length before the answer."""

    length: LengthKind


class Delay(ActionTable, frozen=True, tag="delay"):
    """Hold the answer back; inquiries hear that it is under way."""

    s: Seconds


class Elsewhere(ActionTable, frozen=True, tag="elsewhere"):
    """Answer on another connection, if there is one."""


class Merge(ActionTable, frozen=True, tag="merge"):
    """Collect so many answers and send them in one write; what there is after `within_s`."""

    frames: Count
    within_s: Seconds = 1.0


class Reorder(ActionTable, frozen=True, tag="reorder"):
    """Collect so many answers and send them in another order; what there is after `within_s`."""

    window: Count
    within_s: Seconds = 1.0


class Split(ActionTable, frozen=True, tag="split"):
    """Send the answer in writes of so many bytes, with a pause after each."""

    bytes: Count = 1
    every_s: Seconds = 0.0


class Duplicate(ActionTable, frozen=True, tag="duplicate"):
    """Send the answer again, `times` times, each `after_s` later; with another code if given."""

    times: Count = 1
    after_s: Seconds = 0.0
    code: Code | None = None


class Unsolicited(ActionTable, frozen=True, tag="unsolicited"):
    """Send an answer to a question that was not asked: this one with other numbers.

    `wrong` and `set` as in `Alter`; DE 11 and 37 are wrong unless something else is said.
    """

    wrong: tuple[ElementNumber, ...] = (11, 37)
    set: Elements = field(default_factory=dict)


class KeepAlives(ActionTable, frozen=True, tag="keep_alives"):
    """Send zero-length frames ahead of the answer."""

    count: Count


class Initiate(ActionTable, frozen=True, tag="initiate"):
    """Send an 0800 of the network's own: a function's name in the dialect, or three digits."""

    function: Annotated[str, Meta(pattern=r"^([a-z_]+|[0-9]{3})$")]


class Close(ActionTable, frozen=True, tag="close"):
    """End the connection: before the answer, in its middle, or after it.

    `goodbye` says so in TLS, `fin` ends the stream without a word, `rst` resets it.
    """

    when: Literal["before", "middle", "after"] = "before"
    how: HowToClose = "fin"


Action = (
    Ignore
    | Postpone
    | Redeliver
    | Stall
    | Answer
    | Withhold
    | Interim
    | Alter
    | Mac
    | Corrupt
    | Lie
    | Reframe
    | Delay
    | Elsewhere
    | Merge
    | Reorder
    | Split
    | Duplicate
    | Unsolicited
    | KeepAlives
    | Initiate
    | Close
)

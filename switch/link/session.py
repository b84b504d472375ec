"""One connection's session with a network: sign-on, echo, cutover, sign-off. Pure.

Theory of operation. `states` is the table; here is what is done and said on the way. The shell
tells the session what happened (`connected`, `receive`, `tick`, …) and does what it returns: sends
messages, closes the connection with a reason, raises an alarm, hands a matter of the whole network
on. Time is an argument.

Any frame received is life; silence is answered by echoes, and unanswered ones in a row end the
connection (iso8583.md 3.15). How long a silence, and how many echoes, is the dialect's to say: some
networks forbid more than one echo in five minutes.

The peer's 0800 is answered at once, whatever the state, and before anything else that waits. A
function that the dialect does not name is refused with 40, and the session stays. Sign-on, sign-off
and echo concern one connection; a cutover (the network's settlement date has moved on) and the
exchange of keys concern the network, so they are handed on as `Told`.

Where messages carry MACs (iso8583.md 3.18, 3.19), a session that finds no key to make them with
needs one before it signs on, and again when the network does not take the MAC of its sign-on: it
may have lost what we still hold. All links of a network share a key, so one of them is told to ask
for it (`ask_key`), and all are told when it is there. It comes in the network's answer to our
question (0800/161) or of the network's own accord (0800/101), which is answered when it was judged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, Literal

from msgspec import Struct

from chassis.settings.tree import Network
from switch.dialects.schema import Policy
from switch.iso8583.mti import NETWORK_MANAGEMENT_REQUEST, NETWORK_MANAGEMENT_RESPONSE
from switch.link.states import CONNECTED, CONNECTING, MAY_SEND, TRANSITIONS, Event, State, follow

Fields = dict[int, str]

APPROVED: Final = "00"
FORMAT_ERROR: Final = "30"
FUNCTION_NOT_SUPPORTED: Final = "40"
SECURITY_VIOLATION: Final = "63"
ALARM_AFTER_SIGN_ONS: Final = 3
SETTLEMENT_DATE: Final = 15
_ECHOED: Final = (7, 11, 32, 33, 53, 70)  # what an 0810 repeats of its 0800
_MANDATORY: Final = frozenset({7, 11, 70})
_MONTH_AND_DAY: Final = re.compile(r"(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])")


class Send(Struct, frozen=True):
    """Send a network-management message before anything else."""

    fields: Fields


class Close(Struct, frozen=True):
    """End the connection."""

    reason: str


class Alarm(Struct, frozen=True):
    """A person should look at this link."""

    reason: str


class Told(Struct, frozen=True):
    """The network said something that concerns more than this connection.

    `cutover`: DE 15 of `fields` is its settlement date from now on; it was answered.
    `key_needed`: this connection waits to be told that there is a MAC key; DE 39 of `fields`, if it
        is there, is what the network said to a sign-on with the present one.
    `key_given`: `fields` brings the key that we asked for.
    `key_refused`: the network does not give one; DE 39 of `fields` says why.
    `key_pushed`: `fields` brings one that we did not ask for; it is still to be answered.
    """

    function: Literal["cutover", "key_needed", "key_given", "key_refused", "key_pushed"]
    fields: Fields


Effect = Send | Close | Alarm | Told


class EchoPolicy(Struct, frozen=True):
    """When a silent peer is asked whether it lives, and when it is given up."""

    idle_s: float  # of silence
    timeout_s: float
    misses_max: int  # in a row

    @classmethod
    def of(cls, network: Network, policy: Policy) -> EchoPolicy:
        """As the settings say, else as the dialect does."""
        return cls(
            network.echo_idle_s or policy.echo_idle_s,
            network.echo_timeout_s or policy.echo_timeout_s,
            policy.echo_misses_max,
        )


class Session:
    """The session of one link, over all its connections.

    Args:
        network: timers and limits.
        echo: when and how often the peer is asked.
        functions: the dialect's values of DE 70 by name: `sign_on`, `sign_off`, `echo`, and those
            others that the network has.
        next_stan: gives DE 11 and DE 7 of a new message.
        has_key: whether there is a key to make MACs with; None where messages carry none.

    Attributes:
        state: where the session stands.
        sign_on_failures: in a row, since the last successful sign-on.
        strays_total: network-management answers that answered nothing.
    """

    def __init__(
        self,
        network: Network,
        echo: EchoPolicy,
        functions: Mapping[str, str],
        next_stan: Callable[[], tuple[str, str]],
        *,
        has_key: Callable[[], bool] | None = None,
    ) -> None:
        self._network = network
        self._has_key = has_key
        self._echo = echo
        self._functions = functions
        self._names = {function: name for name, function in functions.items()}
        self._next_stan = next_stan
        self.state = State.DOWN
        self.sign_on_failures = 0
        self.strays_total = 0
        self._draining = False
        self._reset()

    def _reset(self) -> None:
        """Forget what belongs to one connection."""
        self._asked: dict[str, tuple[str, str]] = {}  # DE 70 to the DE 11 and DE 7 we sent
        self._key_waits = False  # the sign-on waits for a MAC key
        self._key_waited = False
        self._up_since: float | None = None
        self._close_at: float | None = None  # sign-on or sign-off must be over by then
        self._echo_due_by: float | None = None  # something must be heard by then
        self._echo_misses = 0
        self._quiet_since = 0.0
        self._keep_alives = 0
        self._keep_alives_since = 0.0

    @property
    def may_send(self) -> bool:
        """Whether a financial message may leave now."""
        return self.state in MAY_SEND

    def dialing(self) -> None:
        """A connection is being opened."""
        self._move(Event.DIALED)

    def reached(self) -> None:
        """TCP stands."""
        self._move(Event.REACHED)

    def connected(self, now: float) -> list[Effect]:
        """TLS stands, and the peer is who it should be: sign on."""
        self._move(Event.CONNECTED)
        self._quiet_since = now
        if self._has_key is not None and not self._has_key():
            return self._wait_for_key({}, now)
        return self._sign_on(now)

    def _sign_on(self, now: float) -> list[Effect]:
        self._close_at = now + self._network.sign_on_timeout_s
        return [self._ask("sign_on")]

    def _wait_for_key(self, refusal: Fields, now: float) -> list[Effect]:
        """There must be another key before we sign on; once a connection."""
        self._key_waits = self._key_waited = True
        self._close_at = now + self._network.sign_on_timeout_s
        return [Told("key_needed", refusal)]

    def ask_key(self) -> list[Effect]:
        """Ask for a key: because this session waits for one, or the present one has grown old."""
        able = self._key_waits or self.state is State.UP
        return [self._ask("key_exchange")] if able and "key_exchange" in self._functions else []

    def key_changed(self, now: float) -> list[Effect]:
        """There is a new key; if this session has waited for it, it signs on."""
        if not self._key_waits:
            return []
        self._key_waits = False
        return self._sign_on(now)

    def key_denied(self, reason: str) -> list[Effect]:
        """There will be no key: a session that has waited for it cannot go on."""
        return [Close(reason)] if self._key_waits else []

    def lost(self, now: float) -> tuple[list[Effect], bool]:
        """The connection is gone, or was never made.

        Returns:
            What to do, and whether the link was up long enough to start its back-off over.
        """
        effects: list[Effect] = []
        if self.state is State.SIGN_ON_SENT:
            effects = self._sign_on_failed()
        proven = (
            self._up_since is not None and now - self._up_since >= self._network.backoff_reset_s
        )
        self.state = State.DOWN
        self._reset()
        return effects, proven

    def drain(self) -> list[Effect]:
        """Take no new messages; a link that is not up closes at once."""
        self._draining = True
        if self.state is State.UP:
            self._move(Event.DRAIN_ASKED)
        elif self.state in CONNECTING or self.state is State.SIGN_ON_SENT:
            return [Close("stopping")]
        return []

    def sign_off(self, now: float) -> list[Effect]:
        """Everything in flight is settled: say good-bye."""
        if self.state is not State.DRAINING:
            return []
        self._move(Event.SIGN_OFF_SENT)
        self._close_at = now + self._network.sign_on_timeout_s
        return [self._ask("sign_off")]

    def heard(self, now: float) -> None:
        """A frame came in, of whatever kind: the peer lives."""
        self._quiet_since = now
        self._echo_due_by = None
        self._echo_misses = 0

    def keep_alives(self, count: int, now: float) -> list[Effect]:
        """Zero-length frames came in: never answered, and not wanted in any number."""
        if now - self._keep_alives_since >= 60.0:
            self._keep_alives_since = now
            self._keep_alives = 0
        self._keep_alives += count
        allowed = self._network.keep_alives_per_minute_max
        if self._keep_alives > allowed:
            return [Close(f"more than {allowed} zero-length frames a minute")]
        return []

    def receive(self, fields: Fields, now: float) -> list[Effect]:
        """Take a network-management message: an 0800 of the peer's or an answer to ours."""
        if fields[0] == NETWORK_MANAGEMENT_REQUEST:
            return self._answer(fields, now)
        if fields[0] == NETWORK_MANAGEMENT_RESPONSE:
            return self._answered(fields, now)
        self.strays_total += 1
        return []

    def tick(self, now: float) -> list[Effect]:
        """Do what is due; call a few times per shortest time-out."""
        if self.state not in CONNECTED:
            return []
        if self._close_at is not None and now >= self._close_at:
            signing_on = self.state is State.SIGN_ON_SENT
            return [Close("sign-on not answered" if signing_on else "signed off")]
        if self._echo_due_by is not None:
            return self._echo_overdue(now)
        if self.state in MAY_SEND and now - self._quiet_since >= self._echo.idle_s:
            self._echo_due_by = now + self._echo.timeout_s
            return [self._ask("echo")]
        return []

    def _echo_overdue(self, now: float) -> list[Effect]:
        if self._echo_due_by is None or now < self._echo_due_by:
            return []
        self._echo_due_by = None
        self._quiet_since = now
        self._echo_misses += 1
        if self._echo_misses >= self._echo.misses_max:
            return [Close(f"{self._echo_misses} echoes unanswered")]
        return []

    def _answer(self, request: Fields, now: float) -> list[Effect]:
        """Answer the peer's 0800; an unknown function is refused and the session stays."""
        code = self._judge(request)
        if code == APPROVED and self._names[request[70]] == "key_push":
            return [Told("key_pushed", request)]
        effects: list[Effect] = [answer_to(request, code)]
        if code == APPROVED:
            effects += self._obey(request, now)
        return effects

    def _judge(self, request: Fields) -> str:
        if not request.keys() >= _MANDATORY:
            return FORMAT_ERROR
        match self._names.get(request[70]):
            case "sign_on" | "sign_off" | "echo":
                return APPROVED
            case "cutover":
                told = _MONTH_AND_DAY.fullmatch(request.get(SETTLEMENT_DATE, ""))
                return APPROVED if told else FORMAT_ERROR
            case "key_push" if self._has_key is not None:
                return APPROVED
            case _:
                return FUNCTION_NOT_SUPPORTED

    def _obey(self, request: Fields, now: float) -> list[Effect]:
        match self._names[request[70]]:
            case "sign_off" if self._can(Event.PEER_SIGNED_OFF):
                self._move(Event.PEER_SIGNED_OFF)
                # Whatever is in flight now is answered or unknown by then.
                self._close_at = now + self._network.response_deadline_s
            case "sign_on" if self._can(Event.PEER_SIGNED_ON) and not self._draining:
                self._move(Event.PEER_SIGNED_ON)
                self._close_at = None
            case "cutover":
                return [Told("cutover", request)]
        return []

    def _answered(self, response: Fields, now: float) -> list[Effect]:
        """Take an 0810: it must repeat DE 70, DE 11 and DE 7 of what we asked."""
        function = response.get(70, "")
        if self._asked.get(function) != (response.get(11), response.get(7)):
            self.strays_total += 1
            return []
        del self._asked[function]
        match self._names[function]:
            case "sign_on":
                return self._sign_on_answered(response, now)
            case "sign_off":
                return [Close("signed off")]
            case "key_exchange":
                return self._key_answered(response)
        return []

    def _key_answered(self, response: Fields) -> list[Effect]:
        given = response.get(39) == APPROVED
        return [Told("key_given" if given else "key_refused", response)]

    def _sign_on_answered(self, response: Fields, now: float) -> list[Effect]:
        code = response.get(39, "")
        if code == SECURITY_VIOLATION and self._has_key is not None and not self._key_waited:
            return self._wait_for_key(response, now)
        if code != APPROVED:
            return [Close(f"sign-on refused with {code}")]
        self._move(Event.SIGN_ON_ACCEPTED)
        self._close_at = None
        self._up_since = now
        self.sign_on_failures = 0
        return []

    def _sign_on_failed(self) -> list[Effect]:
        self.sign_on_failures += 1
        if self.sign_on_failures != ALARM_AFTER_SIGN_ONS:
            return []
        return [Alarm(f"{ALARM_AFTER_SIGN_ONS} sign-ons in a row have failed")]

    def _ask(self, name: str) -> Send:
        function = self._functions[name]
        stan, de7 = self._next_stan()
        self._asked[function] = (stan, de7)
        return Send({0: NETWORK_MANAGEMENT_REQUEST, 7: de7, 11: stan, 70: function})

    def _can(self, event: Event) -> bool:
        return (self.state, event) in TRANSITIONS

    def _move(self, event: Event) -> None:
        self.state = follow(self.state, event)


def answer_to(request: Fields, code: str) -> Send:
    """The 0810 to an 0800 of the peer's."""
    response: Fields = {0: NETWORK_MANAGEMENT_RESPONSE, 39: code}
    return Send(response | {de: request[de] for de in _ECHOED if de in request})

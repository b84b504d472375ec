"""What holds for a session however the network behaves."""

from __future__ import annotations

from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chassis.settings.tree import Network
from switch.link.session import Close, EchoPolicy, Effect, Fields, Send, Session, Told
from switch.link.states import CONNECTED, MAY_SEND, State

FUNCTIONS = {
    "sign_on": "001",
    "sign_off": "002",
    "echo": "301",
    "cutover": "201",
    "key_exchange": "161",
    "key_push": "101",
}
ANY_FUNCTION = st.sampled_from(["001", "001", "001", *FUNCTIONS.values(), "999"])
MOSTLY = st.sampled_from([True, True, True, False])


class Walk(RuleBasedStateMachine):
    """One session and a network that says anything at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.has_key = True
        numbers = count(1)
        self.session = Session(
            Network(),
            EchoPolicy(30.0, 5.0, 3),
            FUNCTIONS,
            lambda: (f"{next(numbers):06d}", "0102030405"),
            has_key=lambda: self.has_key,
        )
        self.asked: list[Fields] = []  # on this connection
        self.stopping = False

    def _take(self, effects: list[Effect]) -> list[Fields]:
        sent = [effect.fields for effect in effects if isinstance(effect, Send)]
        self.asked += [fields for fields in sent if fields[0] == "0800"]
        if any(isinstance(effect, Close) for effect in effects):
            self._lose()
        return sent

    def _lose(self) -> None:
        effects, _ = self.session.lost(self.now)
        assert not any(isinstance(effect, Send | Close) for effect in effects)
        assert self.session.state is State.DOWN
        self.asked = []

    @precondition(lambda self: self.session.state is State.DOWN and not self.stopping)
    @rule()
    def connect(self) -> None:
        """TCP and TLS stand: the first word is a sign-on, or a key is needed."""
        self.session.dialing()
        self.session.reached()
        effects = self.session.connected(self.now)
        if self.has_key:
            assert [fields[70] for fields in self._take(effects)] == ["001"]
        else:
            assert effects == [Told("key_needed", {})]

    @precondition(lambda self: self.session.state in CONNECTED)
    @rule(function=ANY_FUNCTION, whole=MOSTLY, date=st.sampled_from(["1123", "9999", ""]))
    def ask(self, function: str, whole: bool, date: str) -> None:  # noqa: FBT001
        """The network asks something; every question is answered once, or judged elsewhere."""
        request = {0: "0800", 7: "1122000000", 11: "900001", 70: function}
        if date:
            request[15] = date
        if not whole:
            del request[11]
        before = self.session.state
        effects = self.session.receive(request, self.now)
        answers = [effect for effect in effects if isinstance(effect, Send)]
        told = [effect.function for effect in effects if isinstance(effect, Told)]
        assert len(answers) + told.count("key_pushed") == 1
        for answer in answers:
            assert answer.fields[0] == "0810"
            assert answer.fields[70] == function
            if answer.fields[39] != "00":
                assert self.session.state is before
                assert told == []

    @precondition(lambda self: bool(self.asked))
    @rule(data=st.data(), code=st.sampled_from(["00", "00", "00", "63", "91"]), right=MOSTLY)
    def answer(self, data: st.DataObject, code: str, right: bool) -> None:  # noqa: FBT001
        """The network answers a question of ours, or something like it."""
        question = data.draw(st.sampled_from(self.asked))
        response = question | {0: "0810", 39: code}
        if not right:
            response[11] = "999999"
        before = self.session.state
        self._take(self.session.receive(response, self.now))
        if not right:
            assert self.session.state is before

    @rule(seconds=st.sampled_from([0.1, 1.0, 4.0, 30.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds
        self._take(self.session.tick(self.now))

    @precondition(lambda self: self.session.state in CONNECTED)
    @rule()
    def hear(self) -> None:
        """A frame of any kind comes in."""
        self.session.heard(self.now)

    @precondition(lambda self: self.session.state in CONNECTED)
    @rule()
    def lose(self) -> None:
        """The connection goes."""
        self._lose()

    @rule(has_key=MOSTLY)
    def change_key(self, has_key: bool) -> None:  # noqa: FBT001
        """There is a key, or there is none any more."""
        self.has_key = has_key
        if has_key:
            sent = self._take(self.session.key_changed(self.now))
            assert not sent or self.session.state is State.SIGN_ON_SENT

    @rule()
    def ask_key(self) -> None:
        """We want another key."""
        sent = self._take(self.session.ask_key())
        assert all(fields[70] == "161" for fields in sent)

    @precondition(lambda self: self.session.state is State.UP)
    @rule()
    def drain(self) -> None:
        """The process stops; of what is not up there is nothing more to see."""
        self.stopping = True
        self._take(self.session.drain())
        self._take(self.session.sign_off(self.now))
        assert not self.session.may_send

    @invariant()
    def money_moves_in_a_session_only(self) -> None:
        """Nothing may be sent but in two states, and both stand behind an accepted sign-on."""
        assert self.session.may_send is (self.session.state in MAY_SEND)
        if self.session.may_send:
            assert any(fields[70] == "001" for fields in self.asked)
        if self.stopping:
            assert self.session.state is not State.UP


TestWalk = Walk.TestCase
TestWalk.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)

"""What `turnout network` tells: where it is, one masked line per message, which rule was broken.

A message is told by its connection, its type and what names it:

    12:00:01.042  #1 in   0100  STAN 000002  RRN 326120000002  10.00 USD  424242******4242
    12:00:01.043  #1 out  0110  STAN 000002  RRN 326120000002  10.00 USD  39=00 38=200000
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from network_sim.playing import Playing
from network_sim.record import Message
from network_sim.refusals import rule_of
from network_sim.samples import Sample
from switch.iso8583 import DE, Dialect
from switch.iso8583.explain import Row
from switch.iso8583.explain.meanings import meaning_of


class Console:
    """Tells a person what happens.

    Args:
        output: where to.
        dialect: of the messages.
        verbose: whether messages are shown element by element.
    """

    def __init__(self, output: TextIO, dialect: Dialect, *, verbose: bool) -> None:
        self._output = output
        self._names = {value: name for name, value in dialect.network_functions.items()}
        self._dialect = dialect
        self._verbose = verbose

    def say(self, text: str = "") -> None:
        """One line."""
        print(text, file=self._output, flush=True)

    def begin(
        self,
        *,
        address: str,
        certs: Path,
        seed: int,
        rules: int,
        mac: bool,
        samples: Sequence[Sample],
    ) -> None:
        """Everything one needs to connect."""
        framing = self._dialect.framing
        around = [framing.length, framing.header, framing.trailer]
        self.say(f"network on {address}: {self._dialect.title}")
        self.say(f"  framing       {' + '.join(part for part in around if part != 'none')}")
        self.say(f"  TLS           1.3, certificates both ways; files in {certs}")
        self.say("                ca.pem, acquirer.pem and acquirer.key are yours; server name")
        self.say("                network.turnout.test")
        self.say(f"  MAC           {'AES-CMAC; ask for a key with 0800/161' if mac else 'none'}")
        self.say(f"  script        {rules} rules, seed {seed}")
        self.say("  help          type `help`; Ctrl-C ends")
        for sample in samples:
            self.say()
            self.say(f"{sample.title}, as you would send it:")
            self.say(sample.hex)
            self._tell_rows(sample.rows)
        self.say()

    def follow(self, playing: Playing) -> None:
        """Tell of every message and connection from now on."""
        playing.record.listeners.append(self.tell)
        playing.host.on_opened = lambda number: self.say(f"{_now()}  #{number} connected")
        playing.host.on_closed = self._closed
        playing.host.on_refused = self._refused

    def end(self, playing: Playing) -> None:
        """What it came to."""
        count, seed = playing.record.count, playing.script.seed
        self.say(f"stopped after {count} messages; --seed {seed} replays the script's choices")

    def tell(self, message: Message) -> None:
        """One line for a message; element by element where that is wanted."""
        at = datetime.fromtimestamp(message.at_us / 1e6, UTC).strftime("%H:%M:%S.%f")[:-3]
        parts = [at, f"#{message.connection} {message.direction:<3}", *self._words(message)]
        if message.note:
            rule = rule_of(message.note) if message.direction == "in" else None
            parts.append(f"[{message.note}]" + (f" rule {rule.name}" if rule else ""))
        self.say("  ".join(parts))
        if self._verbose:
            self._tell_rows(message.rows)

    def _words(self, message: Message) -> list[str]:
        fields = message.fields
        if not fields:
            return [f"{message.size} bytes that are no message"]
        words = [fields[0]]
        if function := fields.get(DE.NETWORK_FUNCTION):
            words.append(f"{function} {self._names.get(function, '')}".rstrip())
        words += [f"STAN {fields[DE.STAN]}"] if DE.STAN in fields else []
        words += [f"RRN {fields[DE.RRN]}"] if DE.RRN in fields else []
        if DE.AMOUNT in fields:
            words.append(meaning_of(self._dialect, fields, DE.AMOUNT) or fields[DE.AMOUNT])
        if message.direction == "in":
            words += [fields[DE.PAN]] if DE.PAN in fields else []
        codes = [
            f"{number}={fields[number].strip()}" for number in (39, 38, 62, 66) if number in fields
        ]
        return words + ([" ".join(codes)] if codes else [])

    def _tell_rows(self, rows: Sequence[Row]) -> None:
        for row in rows:
            de = "MTI" if row.de == 0 else f"{row.de:>3}"
            self.say(f"      {de}  {row.name:<30} {row.value.rstrip():<26} {row.meaning}".rstrip())

    def _closed(self, number: int, reason: str) -> None:
        self.say(f"{_now()}  #{number} closed: {_with_rule(reason)}")

    def _refused(self, reason: str) -> None:
        self.say(f"{_now()}  refused: {_with_rule(reason)}")


def _with_rule(reason: str) -> str:
    rule = rule_of(reason)
    return reason if rule is None else f"{reason} (rule {rule.name}: {rule.words})"


def _now() -> str:
    return datetime.now(UTC).strftime("%H:%M:%S.%f")[:-3]

"""A reading on the screen and as a document."""

from __future__ import annotations

import io
import json
import re

import pytest

from switch.iso8583 import EncodeError, Reason, load_dialect
from switch.iso8583.explain import document, fault_words, read, show
from switch.iso8583.framing import framer_for
from tests.support.iso8583 import SALE

NET87B = load_dialect("net87b")
STYLE = re.compile(r"\x1b\[[0-9;]*m")


def _shown(data: bytes, **how: bool) -> str:
    stream = io.StringIO()
    show(NET87B, read(NET87B, data, **how), stream)
    return stream.getvalue()


def test_the_table_has_a_line_for_each_element() -> None:
    """Number, name, format, byte, bytes, value and meaning; card data masked."""
    lines = [line.split() for line in _shown(SALE.data).splitlines()]
    assert ["MTI", "message_type", "0", "0200", "0200", "financial", "request"] in lines
    assert ["2", "pan", "n..19", "10", "16", "*" * 16, "424242******4242"] in lines
    assert ["4", "amount_transaction", "n12", "22", "000000002499", "000000002499",
            "24.99", "USD"] in lines  # fmt: skip
    assert ["14", "expiry", "n4", "41", "****", "[hidden]"] in lines


class Terminal(io.StringIO):
    """A stream that people look at; rich takes its width from COLUMNS."""

    def isatty(self) -> bool:
        """It is one."""
        return True


@pytest.mark.parametrize(("columns", "left_out"), [(80, {"format"}), (60, {"format", "bytes"})])
def test_a_narrow_terminal_shows_whole_values(
    monkeypatch: pytest.MonkeyPatch, columns: int, left_out: set[str]
) -> None:
    """The card number is in one line, and nothing is cut off at the edge."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    show(NET87B, read(NET87B, SALE.data), stream)
    lines = STYLE.sub("", stream.getvalue()).splitlines()
    headings = {"DE", "name", "format", "byte", "bytes", "value", "meaning"}
    assert headings - set(lines[2].split()) == left_out
    assert [line for line in lines if "424242******4242" in line]
    assert max(map(len, lines)) <= columns
    meanings = " ".join(lines[3:]).split()
    assert {"financial", "request", "24.99", "USD"} <= set(meanings)


def test_bytes_are_counted_from_the_first_one_given() -> None:
    """A frame in front moves every place, also that of the fault."""
    framed = framer_for(NET87B.framing, 4_096).wrap(SALE.data[:-1])
    shown = _shown(framed)
    assert "framing: binary2" in shown
    assert "DE 49 (currency_transaction, an3) at byte 140: message ends inside" in shown
    assert "hint: bytes are missing" in shown


def test_long_elements_are_cut_in_the_table_and_whole_in_the_document() -> None:
    """Forty bytes of a name would fill two lines of hex."""
    assert "(40 bytes)" in _shown(SALE.data)
    rows = document(NET87B, read(NET87B, SALE.data))["fields"]
    [name] = [row for row in rows if row["de"] == 43]
    assert bytes.fromhex(name["raw"]).decode() == SALE.fields[43] == name["value"]


def test_values_are_not_markup() -> None:
    """What looks like a style or an escape stays what it is."""
    data = NET87B.encode({**SALE.fields, 43: "[red]shop[/red]".ljust(40)})
    assert "[red]shop[/red]" in _shown(data)


def test_the_document_of_a_message() -> None:
    """Snake case, and no error."""
    result = document(NET87B, read(NET87B, SALE.data))
    assert json.loads(json.dumps(result)) == result
    assert result.keys() == {"dialect", "framing", "ok", "fields", "error", "hints"}
    assert (result["dialect"], result["framing"], result["ok"]) == ("net87b", None, True)
    assert (result["error"], result["hints"]) == (None, [])
    assert result["fields"][0].keys() == {
        *("de", "name", "format", "offset", "size", "raw", "value", "meaning"),
    }


def test_the_document_of_what_is_none() -> None:
    """An element, byte and reason; a fault of the frame has no element."""
    framed = framer_for(NET87B.framing, 4_096).wrap(SALE.data[:-1])
    error = document(NET87B, read(NET87B, framed))["error"]
    assert error == {"de": 49, "offset": 140, "reason": "message ends inside the element"}
    broken = document(NET87B, read(NET87B, framed[:-1], framed=True))
    assert broken["ok"] is False
    assert broken["error"] == {
        "de": None, "offset": 0, "reason": "frame 1: the stream ended after 141 of 142 bytes",
    }  # fmt: skip


def test_a_fault_names_the_format_that_was_expected() -> None:
    """So that a value of another width explains itself; the head has no format."""
    error = EncodeError(4, 22, Reason.BAD_LENGTH)
    assert fault_words(NET87B, error).startswith("DE 4 (amount_transaction, n12) at byte 22: ")
    assert fault_words(NET87B, EncodeError(0, 0, Reason.UNKNOWN_MTI)).startswith("DE 0 at byte 0")

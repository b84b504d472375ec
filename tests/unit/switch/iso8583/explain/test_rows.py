"""Messages as rows: places, bytes and values, and that no card data is among them."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from switch.iso8583 import Reason, load_dialect
from switch.iso8583.explain import Explanation, Row, document, explain, read
from switch.iso8583.masking import HIDDEN
from tests.support.iso8583 import BUNDLED, SALE, VECTORS, VECTORS_OF, Vector

DIALECTS = {name: load_dialect(name) for name in BUNDLED}
NET87B = DIALECTS["net87b"]
PAN = "4242424242424242"
TRACK = "4242424242424242D30121011"
REVERSAL = next(vector for vector in VECTORS if vector.name == "reversal_advice")
EXAMPLES = settings(
    max_examples=200,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def _row(explanation: Explanation, number: int) -> Row:
    return next(row for row in explanation.rows if row.de == number)


@pytest.mark.parametrize("name", BUNDLED)
def test_rows_cover_every_byte_of_every_vector(name: str) -> None:
    """Head and elements stand side by side and end where the message ends."""
    for vector in VECTORS_OF[name]:
        explanation = explain(DIALECTS[name], vector.data)
        assert explanation.error is None
        offset = 0
        for row in explanation.rows:
            assert row.offset == offset
            offset += row.size
            hidden = row.raw.count("*") // 2
            assert len(row.raw.replace(" ", "").replace("*", "")) // 2 + hidden == row.size
        assert offset == len(vector.data)
        assert [row.de for row in explanation.rows if row.de > 1] == sorted(vector.fields)[1:]


def test_a_sale_reads_like_this() -> None:
    """Values as sent, raw bytes with their prefix apart, card data masked."""
    explanation = explain(NET87B, SALE.data)
    assert _row(explanation, 0) == Row(
        de=0, name="message_type", format="", offset=0, size=2, raw="0200", value="0200",
        meaning="financial request",
    )  # fmt: skip
    assert _row(explanation, 1).value == " ".join(map(str, sorted(SALE.fields)[1:]))
    assert _row(explanation, 2) == Row(
        de=2, name="pan", format="n..19", offset=10, size=9, raw="16 " + "**" * 8,
        value="424242******4242", meaning="",
    )  # fmt: skip
    assert _row(explanation, 4) == Row(
        de=4, name="amount_transaction", format="n12", offset=22, size=6, raw="000000002499",
        value="000000002499", meaning="24.99 USD",
    )  # fmt: skip
    assert (_row(explanation, 14).raw, _row(explanation, 14).value) == ("****", HIDDEN)
    assert _row(explanation, 48).raw == "0007 " + "**" * 7
    assert _row(explanation, 48).value == f"92={HIDDEN}"


@pytest.mark.parametrize("name", BUNDLED)
def test_an_error_comes_behind_what_could_be_read(name: str) -> None:
    """The elements before the fault are there, and the error names the place."""
    sale = VECTORS_OF[name][0]
    whole = explain(DIALECTS[name], sale.data)
    cut = explain(DIALECTS[name], sale.data[:-1])
    assert cut.error is not None
    assert (cut.error.de, cut.error.reason) == (49, Reason.TRUNCATED)
    assert [row.de for row in cut.rows] == [row.de for row in whole.rows][:-1]
    assert cut.error.__traceback__ is None
    nothing = explain(DIALECTS[name], b"")
    assert (nothing.rows, nothing.error is None) == ((), False)


def test_an_unknown_bit_still_shows_the_bitmap() -> None:
    """So that one sees which bit it is."""
    explanation = explain(NET87B, bytes.fromhex("0800822000000000000000000000000000020102030405"))
    assert explanation.error is not None
    assert explanation.error.de == 127
    assert [row.de for row in explanation.rows] == [0, 1]
    assert _row(explanation, 1).value == "7 11 127"


def test_half_a_bitmap_leaves_the_message_type() -> None:
    """What stands before the fault is shown."""
    explanation = explain(NET87B, bytes.fromhex("08008220"))
    assert [row.de for row in explanation.rows] == [0]


def _everything(dialect: str, data: bytes) -> str:
    reading = read(DIALECTS[dialect], data)
    return json.dumps(document(DIALECTS[dialect], reading))


def _assert_hidden(shown: str, secret: str) -> None:
    assert secret not in shown
    assert secret.encode("ascii").hex() not in shown
    assert secret.encode("cp037").hex() not in shown


@pytest.mark.parametrize("name", BUNDLED)
@pytest.mark.parametrize("number", [2, 14, 34, 35, 36, 44, 45, 46, 47, 48, 52, 55, 60, 62, 63, 102])
def test_no_element_shows_card_data(name: str, number: int) -> None:
    """PAN, track and what may hold them are hidden as value and as bytes."""
    dialect = DIALECTS[name]
    secrets = {2: PAN, 14: "3012", 35: TRACK, 52: "12345678DEADBEEF", 55: "5A084242424242424242"}
    secret = secrets.get(number, PAN)
    text = f"92{len(secret):02d}{secret}" if number == 48 else secret
    fields = {0: "0200", 3: "000000", number: text}
    shown = _everything(name, dialect.encode(fields))
    _assert_hidden(shown, secret)


def test_a_private_62_that_is_no_inquirys_outcome_is_hidden() -> None:
    """Shown in the answer to an inquiry, and only in its form."""
    outcome = "00A12345000000002499" + "0"
    fields = {0: "0610", 49: "840", 62: outcome}
    row = _row(explain(NET87B, NET87B.encode(fields)), 62)
    assert row.value == outcome
    assert row.meaning == "the original: approved, approval A12345, 24.99 USD"
    for mti, text in (("0200", outcome), ("0610", PAN), ("0610", outcome + "1")):
        message = NET87B.encode({**fields, 0: mti, 62: text})
        assert _row(explain(NET87B, message), 62).value == HIDDEN


def test_a_card_number_in_another_element_is_hidden() -> None:
    """An acquirer that puts it where the merchant's number belongs does not leak it here."""
    pan = "378282246310005"
    data = NET87B.encode({**SALE.fields, 42: pan})
    row = _row(explain(NET87B, data), 42)
    assert (row.value, row.raw) == (HIDDEN, "**" * 15)
    _assert_hidden(_everything("net87b", data), pan)


@pytest.mark.parametrize("name", BUNDLED)
@pytest.mark.parametrize("bit", [2, 3, 4])
def test_a_missing_bit_shows_no_card_number(name: str, bit: int) -> None:
    """Where the PAN's bytes become part of other elements, those are hidden."""
    sale = VECTORS_OF[name][0]
    start = DIALECTS[name].head.mti_bytes
    message = bytearray(sale.data)
    message[start] ^= 0x80 >> (bit - 1)
    explanation = explain(DIALECTS[name], bytes(message))
    assert explanation.error is not None
    shown = "".join(row.raw.replace(" ", "") + row.value for row in explanation.rows)
    _assert_hidden(shown.replace(" ", ""), PAN)


def test_a_card_number_in_the_bitmaps_place_is_hidden() -> None:
    """A message without its bitmap begins with whatever came behind."""
    shown = _everything("net87b", bytes.fromhex("0200" + PAN + "000000002499"))
    _assert_hidden(shown, PAN)


@EXAMPLES
@given(st.data())
def test_damage_never_brings_the_card_number_out(data: st.DataObject) -> None:
    """Damaged, cut and read in any dialect: the PAN stays hidden, and nothing escapes."""
    name = data.draw(st.sampled_from(BUNDLED))
    vector: Vector = data.draw(st.sampled_from(VECTORS_OF[name]))
    message = bytearray(vector.data)
    for _ in range(data.draw(st.integers(0, 3))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    length = data.draw(st.integers(0, len(message)))
    shown = _everything(data.draw(st.sampled_from(BUNDLED)), bytes(message[:length]))
    _assert_hidden(shown, PAN)
    _assert_hidden(shown, "6212345678901234560")

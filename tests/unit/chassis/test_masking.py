"""Card numbers are found in every spelling, in bounded time, and innocents pass."""

from __future__ import annotations

import base64
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.masking import (
    CUT,
    DEPTH_MAX,
    MASK,
    TEXT_CHARS_MAX,
    VALUES_MAX,
    mask_text,
    mask_values,
    passes_luhn,
)
from chassis.secrets import Key

NUMBER = "4242424242424242"
SECOND = "5555555555554444"
GROUPED = "4242 4242 4242 4242"


def _with_check_digit(digits: str) -> str:
    return next(digits + last for last in "0123456789" if passes_luhn(digits + last))


@pytest.mark.parametrize(
    "text",
    [
        NUMBER,
        SECOND,
        GROUPED,
        "4242-4242-4242-4242",
        "4242.4242.4242.4242",
        "4242_4242_4242_4242",
        "4242 - 4242\n4242\t4242",
        "4242\u20134242\u00a04242\u200b4242",
        "4 2 4 2 4 2 4 2 4 2 4 2 4 2 4 2",
        "\uff14\uff12" * 8,
        "164242424242424242",
        f"000123{NUMBER}",
        f"7 {GROUPED}",
        f"{GROUPED} 12/30 123",
        f"{NUMBER}=30121010000000000000",
        f"F0{NUMBER}C0",
        NUMBER.encode().hex(),
        NUMBER.encode().hex().upper(),
        GROUPED.replace(" ", "-").encode().hex(),
        "a" + GROUPED.replace(" ", "-").encode().hex(),
        base64.b64encode(NUMBER.encode()).decode(),
        base64.urlsafe_b64encode(b"\xff\xfe" + NUMBER.encode()).decode(),
        base64.b64encode(f'{{"number":"{GROUPED}"}}'.encode()).decode().rstrip("="),
        "abc" + base64.b64encode(NUMBER.encode()).decode(),
    ],
)
def test_card_numbers_are_hidden(text: str) -> None:
    """Whatever separators, prefix or encoding it has, the number is gone."""
    masked = mask_text(f"before {text} after")
    assert masked.startswith("before ")
    assert masked.endswith(" after")
    assert MASK in masked
    assert text not in masked


@given(
    digits=st.text("0123456789", min_size=11, max_size=18),
    separator=st.sampled_from(["", " ", "-", " -"]),
    before=st.sampled_from(["", "x", "card ", '"', "[", "("]),
    after=st.sampled_from(["", "y", " end", '"', "]", ")"]),
)
def test_every_number_with_a_check_digit_is_hidden(
    digits: str, separator: str, before: str, after: str
) -> None:
    """Twelve to nineteen digits that pass the Luhn check never get through."""
    number = separator.join(_with_check_digit(digits))
    assert mask_text(before + number + after) == before + MASK + after


@given(st.binary(max_size=40), st.binary(max_size=40), st.sampled_from(["hex", "base64"]))
def test_an_encoded_number_is_hidden_at_every_alignment(
    before: bytes, after: bytes, encoding: str
) -> None:
    """Wherever the number stands inside encoded bytes, the word is hidden."""
    plain = before + b"<" + NUMBER.encode() + b">" + after
    encoded = plain.hex() if encoding == "hex" else base64.b64encode(plain).decode()
    assert mask_text(encoded).rstrip("=") == MASK


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nothing to hide",
        "2026-01-02T03:04:05.678Z",
        "127.0.0.1:8583",
        "stan 000123",
        "42424242424",
        "pi_3vNMky2BYyw4mQ0aXo1Zc9",
        "019a0b1c-2d3e-4f50-8a6b-7c8d9e0f1a2b",
        "ConnectionResetByPeerWhileWaitingForTheHead",
        "/usr/lib/python3.11/site-packages/example/module.py",
        "100000000000 is no card number",
    ],
)
def test_innocent_text_is_left_alone(text: str) -> None:
    """Times, addresses, identifiers and short numbers stay readable."""
    assert mask_text(text) == text


@pytest.mark.parametrize(
    "unit", ["1", "1 ", "A", "4" * 11 + "a", "1 1 1 1 1 1 1 1 1 1 1 a", "ab " * 5, "-", " "]
)
def test_a_megabyte_takes_no_time(unit: str) -> None:
    """Text is cut before it is searched, and the search is linear."""
    text = unit * (1_000_000 // len(unit))
    began = time.perf_counter()
    masked = mask_text(text)
    assert time.perf_counter() - began < 0.25
    assert len(masked) <= TEXT_CHARS_MAX + len(CUT)
    assert masked.endswith(CUT)


@pytest.mark.parametrize("cut_at", range(1, len(GROUPED)))
def test_a_number_across_the_cut_is_cut_whole(cut_at: int) -> None:
    """The part of a number that is left before the cut does not show."""
    text = ("word! " * TEXT_CHARS_MAX)[: TEXT_CHARS_MAX - cut_at - 1] + "!" + GROUPED
    assert "42" not in mask_text(text)


def test_values_of_every_type() -> None:
    """Plain values stay, the others become masked text."""
    when = datetime(2026, 1, 2, tzinfo=UTC)
    identifier = UUID("019a0b1c-2d3e-4f50-8a6b-7c8d9e0f1a2b")
    values = {
        "none": None,
        "true": True,
        "small": 123,
        "share": 0.4242,
        "infinite": float("inf"),
        "when": when,
        "id": identifier,
        "path": Path("/tmp"),
        "bytes": NUMBER.encode(),
        "card": int(NUMBER),
        "negative": -int(NUMBER),
        "float": float(NUMBER),
        "huge": 10**40,
        "secret": Key(NUMBER.encode()),
        "error": ValueError(f"bad card {NUMBER}"),
        "nested": {"list": [GROUPED, {NUMBER: 1}], "set": {1}},
    }
    assert mask_values(values) == {
        "none": None,
        "true": True,
        "small": 123,
        "share": 0.4242,
        "infinite": float("inf"),
        "when": str(when),
        "id": str(identifier),
        "path": "/tmp",
        "bytes": "[16 bytes]",
        "card": MASK,
        "negative": MASK,
        "float": MASK,
        "huge": MASK,
        "secret": "Key(<masked>)",
        "error": f"bad card {MASK}",
        "nested": {"list": [MASK, {MASK: 1}], "set": [1]},
    }


def test_wide_and_deep_events_are_cut() -> None:
    """An event costs a bounded number of values, however large its structures are."""
    wide = mask_values({"wide": list(range(10 * VALUES_MAX))})["wide"]
    assert len(wide) <= VALUES_MAX
    assert wide[-1] == CUT
    deep: object = NUMBER
    for _ in range(DEPTH_MAX + 2):
        deep = [deep]
    assert NUMBER not in str(mask_values({"deep": deep}))
    loop: list[object] = []
    loop.append(loop)
    assert CUT in str(mask_values({"loop": loop}))


def test_control_characters_cannot_forge_a_line() -> None:
    """Line ends and escapes in a value are shown, not obeyed; tracebacks keep their lines."""
    masked = mask_values({"event": "a\nlevel=info\x1b[2J", "exception": "one\ntwo\r"})
    assert masked == {"event": "a\\x0alevel=info\\x1b[2J", "exception": "one\ntwo\\x0d"}


def test_a_number_across_lines_of_a_traceback_is_hidden() -> None:
    """Masking looks at the whole text before it is split into lines."""
    assert mask_values({"exception": "4242 4242\n4242 4242"}) == {"exception": MASK}

"""What a report shows of the wire."""

from __future__ import annotations

from certification.trace import SHOWN_MAX, Line, shown

SALE = {0: "0200", 2: "4242424242424242", 4: "000000001000", 11: "000123", 14: "3012",
        48: "9203737"}  # fmt: skip


def line(number: int = 1, **changes: object) -> Line:
    """A line of the trace."""
    fields = {"at_us": 1, "at_s": number / 10, "direction": "in", "connection": number}
    return Line(**{**fields, "fields": SALE, **changes})  # type: ignore[arg-type]


def test_card_data_is_masked() -> None:
    """No whole card number, no expiry, no CVC."""
    text = line().shown()
    assert "424242******4242" in text
    assert "11=000123" in text
    assert "4242424242424242" not in text
    assert "3012" not in text
    assert "737" not in text


def test_directions_and_notes_are_told() -> None:
    """Who said it, on which connection, and what was done to it."""
    assert line(2, note="late").shown().startswith("→ #2 0200")
    assert line(2, note="late").shown().endswith("(late)")
    assert line(direction="out").shown().startswith("← #1")
    assert line(direction="event", fields={}, note="closed").shown() == "· #1 (closed)"


def test_a_long_trace_is_cut_in_its_middle() -> None:
    """The beginning and the end are what a reader needs; the count says what is missing."""
    texts = shown([line(number) for number in range(SHOWN_MAX + 10)])
    assert len(texts) == SHOWN_MAX + 1
    assert texts[SHOWN_MAX // 2] == "… 10 more lines …"
    assert shown([]) == []

"""Components as people type them, and keys as `turnout hsm` shows them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chassis.mac import check_value_text
from hsm_sim.wire import CaptureKey, NetworkKey
from stack.hsm_admin import (
    Component,
    ComponentError,
    capture_key_document,
    network_key_document,
    parse_component,
    read_component,
)

PART = bytes(range(32))
VALUE = check_value_text(PART)
DIGITS = PART.hex()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (DIGITS, VALUE),
        (DIGITS.upper(), VALUE.lower()),
        (" ".join(DIGITS[at : at + 4] for at in range(0, 64, 4)), f" {VALUE} "),
        (f"{DIGITS[:32]}\n{DIGITS[32:]}\n", VALUE),
    ],
)
def test_a_component_is_read_as_people_write_it(text: str, value: str) -> None:
    """In either case, in groups, over lines."""
    assert parse_component(1, text, value) == Component(PART, VALUE)


@pytest.mark.parametrize(
    ("text", "value", "reason"),
    [
        ("", VALUE, "component 2 has 0 characters"),
        (DIGITS[:-1], VALUE, "component 2 has 63 characters"),
        (DIGITS + "00", VALUE, "component 2 has 66 characters"),
        ("x" * 64, VALUE, "not 64 hex digits"),
        (DIGITS, "", "the check value of component 2 is not"),
        (DIGITS, "12345", "the check value of component 2 is not"),
        (DIGITS, "12345g", "the check value of component 2 is not"),
        (DIGITS[:-1] + "0", VALUE, "component 2 has another check value"),
    ],
)
def test_a_mistyped_component_is_named_and_not_shown(text: str, value: str, reason: str) -> None:
    """Which one and why; never what was typed."""
    with pytest.raises(ComponentError, match=reason) as raised:
        parse_component(2, text, value)
    assert DIGITS[:8] not in str(raised.value)


def test_a_component_is_not_printed() -> None:
    """Its check value is."""
    shown = repr(Component(PART, VALUE))
    assert VALUE in shown
    assert str(PART) not in shown


def test_a_component_file_is_private(tmp_path: Path) -> None:
    """Digits in any grouping and the check value last; open to others it is refused."""
    path = tmp_path / "component"
    path.write_text(f"{DIGITS[:32]} {DIGITS[32:]}\n{VALUE}\n")
    path.chmod(0o600)
    assert read_component(1, path) == Component(PART, VALUE)
    path.chmod(0o640)
    with pytest.raises(ComponentError, match=r"component: others may read it \(mode 0640\)"):
        read_component(1, path)


@pytest.mark.parametrize("content", [b"", b"\xff" * 70, VALUE.encode(), DIGITS.encode() * 99])
def test_another_file_is_no_component(tmp_path: Path, content: bytes) -> None:
    """Empty, binary, half or far too much."""
    path = tmp_path / "component"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ComponentError, match="component 1 has"):
        read_component(1, path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """With the reason."""
    with pytest.raises(ComponentError, match="component: No such file"):
        read_component(1, tmp_path / "component")


def test_keys_are_shown_with_their_dates() -> None:
    """RFC 3339, and null for what has not come; a document of JSON."""
    key = NetworkKey("vsim", "mac", "01", "current", "imported", VALUE, 1_767_323_045, 1, 2, 0)
    document = network_key_document(key)
    assert document["created_at"] == "2026-01-02T03:04:05+00:00"
    assert document["expires_at"] is None
    assert set(document) == set(NetworkKey.__struct_fields__)
    assert json.loads(json.dumps(document)) == document
    capture = capture_key_document(CaptureKey("kid", 1, b"public", "active", 1_767_323_045))
    assert capture == {
        "kid": "kid",
        "suite": 1,
        "state": "active",
        "not_after": "2026-01-02T03:04:05+00:00",
    }

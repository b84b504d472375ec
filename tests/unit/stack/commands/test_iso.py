"""`turnout iso`, which needs no stack."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stack.commands.iso import INPUT_CHARS_MAX, iso
from tests.support.iso8583 import BUNDLED, SALE, VECTORS_OF

ECHO = '{"0":"0800","7":"0102030405","11":"000001","70":"301"}'


def _run(*words: str, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(iso, list(words), input=stdin)


@pytest.mark.parametrize("name", BUNDLED)
def test_what_is_encoded_is_decoded(name: str) -> None:
    """Fields to hex and back, through a pipe."""
    for vector in VECTORS_OF[name]:
        if vector.decode_only:
            continue
        fields = json.dumps({str(number): text for number, text in vector.fields.items()})
        encoded = _run("encode", "-", "--dialect", name, "--framed", stdin=fields)
        assert encoded.exit_code == 0
        assert vector.data.hex() in encoded.stdout
        decoded = _run("decode", "-", "--dialect", name, "--json", stdin=encoded.stdout)
        assert decoded.exit_code == 0
        document = json.loads(decoded.stdout)
        assert document["ok"]
        assert [row["de"] for row in document["fields"]][2:] == sorted(vector.fields)[1:]


def test_decode_prints_a_table_without_the_card() -> None:
    """The first thing to reach for; nothing on stderr."""
    result = _run("decode", SALE.data.hex())
    assert result.exit_code == 0
    assert result.stderr == ""
    assert "424242******4242" in result.stdout
    assert "4242424242424242" not in result.stdout.replace(" ", "")
    assert "9203123" not in result.stdout


@pytest.mark.parametrize("separator", [" ", ":", "\n", ", 0x"])
def test_hex_may_be_written_as_people_do(separator: str) -> None:
    """Spaces, colons, lines, 0x; either case."""
    spaced = ("0x" if "0x" in separator else "") + SALE.data.hex(" ").replace(" ", separator)
    assert _run("decode", spaced).exit_code == 0
    assert _run("decode", "-", stdin=spaced.upper().replace("X", "x") + "\n").exit_code == 0


def test_what_is_no_message_ends_with_one() -> None:
    """Fields so far, the place, the reason, a hint; and all of it as a document."""
    result = _run("decode", SALE.data.hex() + "03")
    assert result.exit_code == 1
    assert "at byte 141: bytes after the last element" in result.stdout
    assert "hint: the byte behind the last element is ETX" in result.stdout
    document = json.loads(_run("decode", SALE.data.hex() + "03", "--json").stdout)
    assert document["ok"] is False
    assert document["error"]["offset"] == 141


def test_framed_and_unframed_are_believed() -> None:
    """Whoever says so gets no guess."""
    framed = "008d" + SALE.data.hex()
    assert _run("decode", framed).exit_code == 0
    assert _run("decode", framed, "--framed").exit_code == 0
    assert _run("decode", framed, "--unframed").exit_code == 1
    assert _run("decode", SALE.data.hex(), "--unframed").exit_code == 0
    assert _run("decode", SALE.data.hex(), "--framed").exit_code == 1


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("decode",), "Missing argument"),
        (("decode", ""), "must be hex digits"),
        (("decode", "4242x"), "must be hex digits"),
        (("decode", "080"), "has 3 hex digits: one is missing"),
        (("decode", "00" * (INPUT_CHARS_MAX // 2 + 1)), "too long"),
        (("decode", "0800", "--yaml"), "No such option"),
        (("encode", "{"), "must be one JSON object"),
        (("encode", "[1]"), "must be one JSON object"),
        (("encode", "[]"), "must be one JSON object"),
        (("encode", '"0"'), "must be one JSON object"),
        (("encode", '[["0", "0800"]]'), "must be one JSON object"),
        (("encode", '{"x":"1"}'), "no element number"),
        (("encode", '{"07":"1"}'), "no element number"),
        (("encode", '{"\u0667":"1"}'), "no element number"),
        (("encode", '{"0":"0800","0":"0810"}'), "or one twice"),
        (("encode", '{"0":800}'), '"0" must be a string'),
    ],
)
def test_wrong_input_is_a_usage_error(words: tuple[str, ...], reason: str) -> None:
    """Exit status 2, and what to mend."""
    result = _run(*words)
    assert result.exit_code == 2
    assert reason in result.stderr


def test_wrong_input_is_not_repeated() -> None:
    """What was meant to be a message may hold a card."""
    for words in (("decode", "4242424242424242x"), ("encode", '{"2":4242424242424242}')):
        result = _run(*words)
        assert result.exit_code == 2
        assert "42424242" not in result.output


def test_an_unusable_dialect_could_not_start(tmp_path: Path) -> None:
    """Exit status 3, with the file, its line and the key."""
    text = (resources.files("switch.dialects") / "net87b.toml").read_text(encoding="utf-8")
    path = tmp_path / "mine.toml"
    path.write_text(text.replace('format = "an12"', 'format = "an 12"'))
    line = next(n for n, one in enumerate(path.read_text().splitlines(), 1) if "an 12" in one)
    for command, argument in (("decode", "0800"), ("encode", ECHO)):
        result = _run(command, argument, "--dialect", str(path))
        assert result.exit_code == 3
        assert f"{path}:{line}: elements.37: " in result.stderr
    missing = _run("decode", "0800", "--dialect", "visa")
    assert missing.exit_code == 3
    assert "cis, net87b, vip" in missing.stderr


def test_encode_says_what_does_not_fit() -> None:
    """Exit status 1, the element with its format, and not the value."""
    fields = json.dumps({"0": "0200", "2": "4242424242424242", "3": "4242424242424242"})
    result = _run("encode", fields)
    assert result.exit_code == 1
    assert "DE 3 (processing_code, n6) at byte 19: length differs" in result.stderr
    assert "4242" not in result.output


def test_fit_fills_what_is_short() -> None:
    """Zeros before digits, spaces behind text, nothing else."""
    short = '{"0":"0800","7":"0102030405","11":"1","41":"T","70":"301"}'
    assert _run("encode", short).exit_code == 1
    result = _run("encode", short, "--fit")
    assert result.exit_code == 0
    assert "000001" + b"T       ".hex() in result.stdout


def test_encode_as_a_document() -> None:
    """One JSON document with the hex."""
    result = _run("encode", ECHO, "--framed", "--json")
    assert json.loads(result.stdout) == {
        "dialect": "net87b",
        "framing": "binary2",
        "bytes": 30,
        "hex": "001c" + "08008220000000000000040000000000000001020304050000010301",
    }

"""The codec benchmark: its document, and that wrong results end it."""

from __future__ import annotations

import pytest

from benchmarks import codec
from benchmarks.report import WrongResultsError
from switch.iso8583 import load_dialect


def test_the_document_has_the_figures_of_the_contract() -> None:
    """One short run names every figure, and the compiled codec is the faster one."""
    document = codec.run(rounds=1, repeats=1)
    assert document["results"].keys() == {
        "encode_us", "decode_us", "encode_ratio", "decode_ratio", "fields",
    }  # fmt: skip
    assert document["results"]["fields"] == 19
    assert document["results"]["encode_ratio"] > 1
    assert document["results"]["decode_ratio"] > 1


def test_a_codec_that_disagrees_is_no_codec() -> None:
    """Bytes that are not those of the fields end the run."""
    dialect = load_dialect("net87b")
    with pytest.raises(WrongResultsError, match="disagree"):
        codec._check(dialect, codec.sale(1), dialect.encode(codec.sale(2)))


def test_messages_differ() -> None:
    """Each serial number makes another valid message."""
    dialect = load_dialect("net87b")
    assert len({dialect.encode(codec.sale(serial)) for serial in range(300)}) == 300

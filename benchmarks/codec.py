"""`turnout bench codec`: one message encoded, one message decoded, beside pyiso8583.

An op is one call of `Dialect.encode` or `Dialect.decode` on a 0200 of 19 elements, every check on
and every element made, garbage collection as it comes. Before the clock starts each message is
encoded and decoded by both codecs and must come out equal, and a damaged twin must be refused.
Both codecs run in turn within each round, so that a slow moment of the machine meets both; the
ratios are medians of the rounds' ratios.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, TypeVar

import attrs
import iso8583

from benchmarks.report import Document, WrongResultsError, bench_document, progress
from switch.iso8583 import CodecError, Dialect, load_dialect, private

DISTINCT_MESSAGES: Final = 200  # prepared beforehand and taken in turn
PANS: Final = ("4242424242424242", "5555555555554444", "4000000000000002", "4000000000009995")

Argument = TypeVar("Argument")


def sale(serial: int) -> dict[int, str]:
    """Return the fields of one card-not-present sale, each serial number another."""
    time_of_day = f"{serial // 3600 % 24:02d}{serial // 60 % 60:02d}{serial % 60:02d}"
    return {
        0: "0200",
        2: PANS[serial % len(PANS)],
        3: "000000",
        4: f"{100 + 37 * serial:012d}",
        7: f"0102{time_of_day}",
        11: f"{1 + serial:06d}",
        12: time_of_day,
        13: "0102",
        14: "3012",
        18: "5999",
        19: "840",
        22: "810",
        25: "59",
        32: "400001",
        37: f"6002{serial:08d}",
        41: "TERM0001",
        42: "DEMOSHOP       ",
        43: "Demo shop                Springfield  US",
        48: private.encode({private.CVC2_TAG: f"{serial % 1000:03d}"}),
        49: "840",
    }


@attrs.frozen
class Round:
    """Microseconds a call within one round."""

    encode_us: float
    decode_us: float
    peer_encode_us: float
    peer_decode_us: float


def run(*, rounds: int = 15, repeats: int = 20) -> Document:
    """Measure and return the benchmark's document; figures are medians of the rounds.

    Args:
        rounds: of all four measurements in turn.
        repeats: how often a round goes through the prepared messages.

    Raises:
        WrongResultsError: the two codecs disagree, or a damaged message was accepted.
    """
    dialect = load_dialect("net87b")
    messages = [sale(serial) for serial in range(DISTINCT_MESSAGES)]
    progress(f"encoding and decoding {len(messages)} messages, {rounds} rounds")
    encoded = [dialect.encode(fields) for fields in messages]
    for fields, data in zip(messages, encoded, strict=True):
        _check(dialect, fields, data)
    measured = [_measure(dialect, messages, encoded, repeats) for _ in range(rounds)]
    results = {
        "encode_us": statistics.median(one.encode_us for one in measured),
        "decode_us": statistics.median(one.decode_us for one in measured),
        "encode_ratio": statistics.median(one.peer_encode_us / one.encode_us for one in measured),
        "decode_ratio": statistics.median(one.peer_decode_us / one.decode_us for one in measured),
        "fields": len(messages[0]) - 1,
    }
    return bench_document(
        "codec",
        parameters={
            "codec": dialect.name,
            "rounds": rounds,
            "ops_per_round": repeats * len(messages),
            "message_bytes": len(encoded[0]),
            "message_hex": encoded[0].hex(),
            "gc": True,
        },
        results=results,
        cpu_us_per_op={"encode": results["encode_us"], "decode": results["decode_us"]},
        peers={
            "pyiso8583_encode_us": statistics.median(one.peer_encode_us for one in measured),
            "pyiso8583_decode_us": statistics.median(one.peer_decode_us for one in measured),
        },
    )


def _measure(
    dialect: Dialect, messages: list[dict[int, str]], encoded: list[bytes], repeats: int
) -> Round:
    spec = dialect.pyiso8583_spec()
    documents = [_document(fields) for fields in messages]
    return Round(
        encode_us=_cpu_us(dialect.encode, messages, repeats),
        peer_encode_us=_cpu_us(partial(iso8583.encode, spec=spec), documents, repeats),
        decode_us=_cpu_us(dialect.decode, encoded, repeats),
        peer_decode_us=_cpu_us(partial(iso8583.decode, spec=spec), encoded, repeats),
    )


def _cpu_us(
    call: Callable[[Argument], object], arguments: Iterable[Argument], repeats: int
) -> float:
    """CPU microseconds of one call; the loop around it is counted as well."""
    prepared = list(arguments)
    began_at = time.process_time_ns()
    for _ in range(repeats):
        for argument in prepared:
            call(argument)
    return (time.process_time_ns() - began_at) / 1_000 / (repeats * len(prepared))


def _document(fields: dict[int, str]) -> dict[str, str]:
    """The fields as pyiso8583 keys them."""
    return {str(number) if number else "t": text for number, text in fields.items()}


def _check(dialect: Dialect, fields: dict[int, str], data: bytes) -> None:
    """Demand equal results both ways, and that the checks are on."""
    spec = dialect.pyiso8583_spec()
    document = _document(fields)
    decoded, _ = iso8583.decode(data, spec)
    del decoded["p"]
    if (
        bytes(iso8583.encode(dict(document), spec)[0]) != data
        or decoded != document
        or dialect.encode(fields) != data
        or dialect.decode(data) != fields
    ):
        raise WrongResultsError("the codec and pyiso8583 disagree")
    try:
        dialect.decode(data[:-1] + b"\n")
    except CodecError:
        return
    raise WrongResultsError("a control character was accepted")

"""ML: answers that are no messages. None is taken, none ends the link, none is shown."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Final

import trio

from certification.desk import Desk
from certification.handlers import altered
from certification.network import Exchange
from certification.registry import case
from certification.suites.reversals import in_doubt
from certification.vocabulary import REQUESTS
from switch.iso8583 import Dialect

FUZZED_CODEC: Final = 1_000_000
FUZZED_LINK: Final = 20_000
LINK_BATCH: Final = 200
GROWTH_MAX_KB: Final = 4_096  # of the process that decodes, behind its first tenth
BITMAP: Final = slice(2, 10)  # behind an MTI of two bytes

Tamper = Callable[[bytes], bytes]


def tampers(tamper: Tamper, note: str) -> Callable[[Exchange], object]:
    """Decide, and send the packed answer tampered with, under a right length."""

    async def handler(exchange: Exchange) -> None:
        message = exchange.network.codec.encode(exchange.decide())
        bad = tamper(bytes(message))
        exchange.connection.send_raw(len(bad).to_bytes(2, "big") + bad, note)

    return handler


async def refused(desk: Desk, tamper: Tamper, note: str) -> None:
    """The answer is thrown away with a reason, the link stays, the payment is found out."""
    connections = list(desk.network.connections)
    desk.network.on(REQUESTS, tampers(tamper, note))  # type: ignore[arg-type]
    answer = await in_doubt(desk)
    await desk.logged("undecodable_messages", f'"{desk.network.name}"')
    desk.equal(f"{note}: the connection stays", desk.network.connections, connections)
    await desk.ends(answer, "succeeded", intent="succeeded")


def set_bits(message: bytes, elements: tuple[int, ...]) -> bytes:
    """Announce elements beyond 64 that are not there, in a second bitmap."""
    first = bytearray(message[BITMAP])
    first[0] |= 0x80
    second = bytearray(8)
    for element in elements:
        second[(element - 65) // 8] |= 0x80 >> (element - 65) % 8
    return message[:2] + bytes(first) + bytes(second) + message[10:]


def undefined(dialect: Dialect) -> tuple[int, ...]:
    """Elements from 66 on that the dialect does not know."""
    return tuple(number for number in range(66, 128) if number not in dialect.elements)


@case("ML01")
async def unknown_element(desk: Desk) -> None:
    """A bit that the dialect does not define."""
    unknown = undefined(desk.network.dialect)
    desk.check(that=bool(unknown), what=f"undefined in the dialect: {unknown[0]}, {unknown[-1]}")
    for element in {unknown[0], unknown[-1]}:
        await refused(
            desk,
            lambda message, element=element: set_bits(message, (element,)),  # type: ignore[misc]
            f"bit {element}",
        )


@case("ML02")
async def bad_digit(desk: Desk) -> None:
    """DE 4 with a digit above nine."""
    amount = bytes.fromhex("000000001000")
    await refused(
        desk, lambda message: message.replace(amount, b"\x0a" + amount[1:], 1), "DE 4 = 0A…"
    )


def _pan_at(message: bytes) -> int:
    """Where the length of DE 2 stands: the first element of an answer that has it."""
    assert message[2] & 0x40
    return 10 if not message[2] & 0x80 else 18


@case("ML03")
async def bad_lengths(desk: Desk) -> None:
    """Pad, prefix, truncation, trailing bytes."""

    def prefix(value: int) -> Tamper:
        def tamper(message: bytes) -> bytes:
            at = _pan_at(message)
            return message[:at] + bytes([value]) + message[at + 1 :]

        return tamper

    def pad(message: bytes) -> bytes:
        at = _pan_at(message)
        end = at + 1 + 10  # 19 digits in ten bytes, the last nibble is the pad
        return message[: end - 1] + bytes([message[end - 1] | 0x07]) + message[end:]

    desk.network.on(REQUESTS, tampers(pad, "a pad that is not zero"))  # type: ignore[arg-type]
    answer = await desk.pay(pan=desk.pan(19))
    desk.equal("a bad pad: the merchant hears", answer.status, "pending_verification")
    await desk.ends(answer, "succeeded", intent="succeeded")
    await refused(desk, prefix(0x99), "DE 2 of 99 digits")
    await refused(desk, prefix(0x00), "DE 2 of no digits")
    await refused(desk, lambda message: message[:-1], "the last byte is missing")
    await refused(desk, lambda message: message + b"\0", "one byte too many")
    pans = [line.fields[2] for line in desk.network.heard(REQUESTS)]
    log = await trio.to_thread.run_sync(desk.log)
    desk.equal("card numbers in the log", [pan[-4:] for pan in pans if pan in log], [])


@case("ML04")
async def bad_type(desk: Desk) -> None:
    """Message types that are none, or none of the dialect's."""
    for mti in ("0A0F", "0190", "2100"):
        await refused(
            desk,
            lambda message, mti=mti: bytes.fromhex(mti) + message[2:],  # type: ignore[misc]
            f"MTI {mti}",
        )


@case("ML05")
async def secondary_bitmap(desk: Desk) -> None:
    """Bit 1 without its bitmap; with one that is all zero."""
    await refused(
        desk,
        lambda message: (message[:2] + bytes([message[2] | 0x80]) + message[3:10])[:10],
        "bit 1 set and nothing behind",
    )

    desk.network.on(
        REQUESTS,
        tampers(lambda message: set_bits(message, ()), "an empty second bitmap"),  # type: ignore[arg-type]
    )
    answer = await desk.pay()
    desk.equal("an empty second bitmap: the merchant hears", answer.status, "succeeded")


@case("ML06")
async def mandatory_missing(desk: Desk) -> None:
    """Answers without a response code, and without a STAN."""
    for element in (39, 11):
        desk.network.on(REQUESTS, altered({element: None}, f"without DE {element}"))
        answer = await in_doubt(desk)
        await desk.ends(answer, "succeeded", intent="succeeded")


@case("ML07")
async def bad_text(desk: Desk) -> None:
    """Control characters where text should be."""

    async def garbled(exchange: Exchange) -> None:
        good = exchange.decide()
        message = bytes(exchange.network.codec.encode(good))
        bad = message.replace(good[38].encode(), b"\x1b[31m\x07", 1)
        exchange.connection.send_raw(
            len(bad).to_bytes(2, "big") + bad, "control characters in DE 38"
        )

    desk.network.on(REQUESTS, garbled)
    answer = await in_doubt(desk)
    await desk.ends(answer, "succeeded", intent="succeeded")
    log = await trio.to_thread.run_sync(desk.log)
    desk.check(that="\x1b" not in log and "\x07" not in log, what="none stands in the log")


@case("ML08")
async def mutated(desk: Desk) -> None:
    """Bit flips of a good answer: a million on the codec, some over the link."""
    desk.equal("a sale", (await desk.pay()).status, "succeeded")
    good = next(line for line in desk.network.trace if line.mti == "0210").fields
    vector = bytes(desk.network.codec.encode(dict(good)))
    command = [sys.executable, "-m", "certification.fuzz", desk.network.dialect.name]
    command += [vector.hex(), str(FUZZED_CODEC), str(desk.random.randrange(1 << 31))]
    done = await trio.run_process(command, capture_stdout=True)
    found = json.loads(done.stdout)
    desk.saw(f"{FUZZED_CODEC} frames on the codec, {found['refused']} refused, no crash")
    desk.check(
        that=found["grown_kb"] < GROWTH_MAX_KB, what=f"memory grew by {found['grown_kb']} kB"
    )
    (connection,) = desk.network.connections
    draw = _draw(desk)
    for _ in range(FUZZED_LINK // LINK_BATCH):
        frames = []
        for _ in range(LINK_BATCH):
            frame = bytearray(vector)
            bit = 16 + draw((len(vector) - 2) * 8)  # not the MTI: it must not become an 0800
            frame[bit >> 3] ^= 0x80 >> (bit & 7)
            frames.append(len(frame).to_bytes(2, "big") + frame)
        connection.send_raw(b"".join(frames), f"{LINK_BATCH} mutated answers")
        await trio.sleep(0.01)
    desk.equal("then a sale", (await desk.pay()).status, "succeeded")
    desk.equal("connections", desk.network.connections, [connection])


def _draw(desk: Desk) -> Callable[[int], int]:
    random = desk.random.random
    return lambda below: int(random() * below)

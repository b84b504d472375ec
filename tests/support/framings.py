"""One example of every framing in the catalog."""

from __future__ import annotations

from switch.dialects import Framing


def _vip(message_bytes: int) -> str:
    return f"160102{22 + message_bytes:04x}000001400001" + "00" * 11


def framing(length: str, header: str = "none", trailer: str = "none") -> Framing:
    """A framing with addresses that fit its header."""
    addresses = {"none": ("", ""), "tpdu": ("0003", "0001"), "vip": ("000001", "400001")}
    destination, source = addresses[header]
    return Framing(
        length=length,  # type: ignore[arg-type]  # from a table of the catalog's names
        frame_bytes_max=2_000,
        header=header,  # type: ignore[arg-type]
        trailer=trailer,  # type: ignore[arg-type]
        destination=destination,
        source=source,
    )


# Framing by name, and what it makes of the message `0800AB` (three bytes), as hex.
EXAMPLES: dict[str, tuple[Framing, str]] = {
    "binary2": (framing("binary2"), "0003 0800ab"),
    "binary2 tpdu": (framing("binary2", "tpdu"), "0008 6000030001 0800ab"),
    "bcd2": (framing("bcd2"), "0003 0800ab"),
    "bcd2 tpdu": (framing("bcd2", "tpdu"), "0008 6000030001 0800ab"),
    "ascii4": (framing("ascii4"), "30303033 0800ab"),
    "hex4": (framing("hex4"), "30303033 0800ab"),
    "binary4": (framing("binary4"), "00000003 0800ab"),
    "binary2_zeros": (framing("binary2_zeros"), "00030000 0800ab"),
    "vmlh vip": (framing("vmlh", "vip"), f"00190000 {_vip(3)} 0800ab"),
    "zeros_binary2": (framing("zeros_binary2"), "00000003 0800ab"),
    "binary3": (framing("binary3"), "000003 0800ab"),
    "binary2_inclusive": (framing("binary2_inclusive"), "0005 0800ab"),
    "binary2 etx": (framing("binary2", trailer="etx"), "0004 0800ab 03"),
    "ascii4 etx": (framing("ascii4", trailer="etx"), "30303034 0800ab 03"),
}

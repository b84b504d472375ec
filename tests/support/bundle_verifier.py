"""A verifier of bundles that shares no code with the product: the standard library, nothing else.

It is written from `docs/audit.md`, RFC 8032 and RFC 9162 alone, as a stranger would write it whom
somebody hands a bundle and the public keys. Slow and not constant in time, which no verifier needs.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

Point = tuple[int, int, int, int]  # extended coordinates X, Y, Z, T

_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_ROOT_OF_MINUS_ONE = pow(2, (_P - 1) // 4, _P)


class UnprovenError(Exception):
    """The bundle does not show what it claims."""


def verify(bundle: dict[str, Any], log_key: str, witness_key: str | None = None) -> list[bytes]:
    """Return the records that the bundle proves.

    Raises:
        UnprovenError: with the first claim that does not hold.
    """
    lines, _, signatures = bundle["checkpoint"].partition("\n\n")
    text = lines + "\n"
    origin, size, root = lines.split("\n")
    if log_key.split("+", 1)[0] != origin:
        raise UnprovenError("another log's key")
    for key, kind in ((log_key, 1), (witness_key, 4)):
        if key is not None and not _is_signed(text, signatures, key, kind):
            raise UnprovenError(f"not signed by {key}")
    known = {hashlib.sha256(_bytes(one)).digest()[:8] for one in bundle["descriptors"]}
    proven, indexes = [], []
    for entry in bundle["records"]:
        record, index = _bytes(entry["record"]), entry["index"]
        if _root(record, index, int(size), [_bytes(one) for one in entry["proof"]]) != _bytes(root):
            raise UnprovenError(f"record {index} is not under the checkpoint")
        if record[32:48].hex() != bundle["intent"]:
            raise UnprovenError(f"record {index} is of another payment")
        if record[24:32] not in known:
            raise UnprovenError(f"record {index} cannot be read")
        proven.append(record)
        indexes.append(index)
    if not proven or indexes != sorted(set(indexes)):
        raise UnprovenError("no records, or not in order")
    return proven


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _root(record: bytes, index: int, size: int, proof: list[bytes]) -> bytes | None:
    """The root that a proof of inclusion leads to (RFC 9162, 2.1.3.2)."""
    node, last = index, size - 1
    computed = hashlib.sha256(b"\0" + record).digest()
    if not 0 <= node <= last:
        return None
    for sibling in proof:
        if not last:
            return None
        if node % 2 or node == last:
            computed = hashlib.sha256(b"\1" + sibling + computed).digest()
            while node and not node % 2:
                node, last = node // 2, last // 2
        else:
            computed = hashlib.sha256(b"\1" + computed + sibling).digest()
        node, last = node // 2, last // 2
    return None if last else computed


def _is_signed(text: str, signatures: str, key: str, kind: int) -> bool:
    name, key_id, encoded = key.split("+", 2)
    typed = _bytes(encoded)
    if typed[0] != kind or hashlib.sha256(f"{name}\n".encode() + typed).hexdigest()[:8] != key_id:
        return False
    for line in signatures.splitlines():
        _, signer, blob = line.split(" ")
        data = _bytes(blob)
        if (signer, data[:4].hex()) != (name, key_id):
            continue
        message, signature = text, data[4:]
        if kind == 4:
            message = f"cosignature/v1\ntime {int.from_bytes(signature[:8], 'big')}\n{text}"
            signature = signature[8:]
        return _is_ed25519(typed[1:], message.encode(), signature)
    return False


# ------------------------------------------------------------------ Ed25519 (RFC 8032, 5.1.7 and 6)


def _is_ed25519(public: bytes, message: bytes, signature: bytes) -> bool:
    key, commitment = _point(public), _point(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or commitment is None or len(signature) != 64 or scalar >= _ORDER:
        return False
    digest = hashlib.sha512(signature[:32] + public + message).digest()
    challenge = int.from_bytes(digest, "little") % _ORDER
    left, right = _times(scalar, _BASE), _sum(commitment, _times(challenge, key))
    return not any((left[at] * right[2] - right[at] * left[2]) % _P for at in (0, 1))


def _point(encoded: bytes) -> Point | None:
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    square = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT_OF_MINUS_ONE % _P
    if y >= _P or (x * x - square) % _P or (not x and sign):
        return None
    x = x if x % 2 == sign else _P - x
    return x, y, 1, x * y % _P


def _sum(one: Point, other: Point) -> Point:
    a = (one[1] - one[0]) * (other[1] - other[0]) % _P
    b = (one[1] + one[0]) * (other[1] + other[0]) % _P
    c = 2 * one[3] * other[3] * _D % _P
    d = 2 * one[2] * other[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(scalar: int, point: Point) -> Point:
    total: Point = (0, 1, 1, 0)
    while scalar:
        if scalar % 2:
            total = _sum(total, point)
        point, scalar = _sum(point, point), scalar // 2
    return total


_BASE_Y = 4 * pow(5, _P - 2, _P) % _P
_base = _point(_BASE_Y.to_bytes(32, "little"))
assert _base is not None
_BASE: Point = _base

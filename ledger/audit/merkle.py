"""The Merkle tree of RFC 9162: hashes, roots, proofs, and how a stranger checks them.

Pure; knows neither files nor records. A tree of `size` leaves is never built: it is seen as the
list of its *perfect subtrees*, each named by (level, index), the one at level k over the leaves
[index << k, (index + 1) << k). Where their hashes come from is the caller's business (`Nodes`):
`ledger.audit.levels` reads them from files, tests compute them.

Every proof is a list of 32-byte hashes in the order of RFC 9162, 2.1.3.1 and 2.1.4.1, which is
that of RFC 6962, and of C2SP's tlog tools.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Final

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()

Nodes = Callable[[int, int], bytes]
"""The hash of the perfect subtree at (level, index), for those that are complete."""


class ProofError(Exception):
    """A proof does not show what it was offered for; the text says which step failed."""


# The state of the hash behind each prefix. A copy of it costs less than a new one.
_LEAF: Final = sha256(b"\x00")
_NODE: Final = sha256(b"\x01")


def leaf_hash(leaf: bytes) -> bytes:
    """Hash one leaf (RFC 9162, 2.1.1): the prefix keeps leaves and nodes apart."""
    return sha256(b"\x00" + leaf).digest()


def leaf_hashes(leaves: Iterable[bytes]) -> list[bytes]:
    """Hash many leaves, each as `leaf_hash` does."""
    begin = _LEAF.copy
    hashes = []
    for leaf in leaves:
        state = begin()
        state.update(leaf)
        hashes.append(state.digest())
    return hashes


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two children (RFC 9162, 2.1.1)."""
    return sha256(b"\x01" + left + right).digest()


def fold(hashes: Sequence[bytes]) -> bytes:
    """Return the root over a power of two of sibling hashes."""
    begin = _NODE.copy
    row = list(hashes)
    while len(row) > 1:
        pairs, row = iter(row), []
        for left, right in zip(pairs, pairs, strict=True):
            state = begin()
            state.update(left + right)
            row.append(state.digest())
    return row[0]


# --------------------------------------------------------------------------------------- making


def perfect_subtrees(begin: int, end: int) -> list[tuple[int, int]]:
    """Cut the leaves [begin, end) into the fewest perfect subtrees, from left to right.

    `begin` must be a left edge as the proofs of RFC 9162 have them: a multiple of a power of two
    that is no smaller than the range, or 0.
    """
    subtrees = []
    while begin < end:
        level = (end - begin).bit_length() - 1
        subtrees.append((level, begin >> level))
        begin += 1 << level
    return subtrees


def range_hash(nodes: Nodes, begin: int, end: int) -> bytes:
    """Hash the leaves [begin, end) as one subtree: MTH of RFC 9162, 2.1.1."""
    root: bytes | None = None
    for level, index in reversed(perfect_subtrees(begin, end)):
        left = nodes(level, index)
        root = left if root is None else node_hash(left, root)
    return EMPTY_ROOT if root is None else root


def inclusion_proof(nodes: Nodes, index: int, size: int) -> list[bytes]:
    """Prove that the leaf at `index` stands in the tree of `size` leaves: PATH of RFC 9162.

    Raises:
        ProofError: there is no such leaf.
    """
    if not 0 <= index < size:
        raise ProofError(f"a tree of {size} leaves has none at {index}")
    path: list[bytes] = []
    begin, end = 0, size
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            path.append(range_hash(nodes, middle, end))
            end = middle
        else:
            path.append(range_hash(nodes, begin, middle))
            begin = middle
    return path[::-1]


def consistency_proof(nodes: Nodes, old_size: int, new_size: int) -> list[bytes]:
    """Prove that the tree of `old_size` leaves is a prefix of that of `new_size`.

    Empty for two equal sizes, and for an old tree without leaves: both need no proof.

    Raises:
        ProofError: the old tree is the larger one.
    """
    if not 0 <= old_size <= new_size:
        raise ProofError(f"a tree of {new_size} leaves has no prefix of {old_size}")
    if old_size in {0, new_size}:
        return []
    path: list[bytes] = []
    begin, end = 0, new_size
    while old_size < end:
        middle = begin + _split(end - begin)
        if old_size <= middle:
            path.append(range_hash(nodes, middle, end))
            end = middle
        else:
            path.append(range_hash(nodes, begin, middle))
            begin = middle
    if begin:  # otherwise the verifier knows this hash: it is the old root
        path.append(range_hash(nodes, begin, end))
    return path[::-1]


def _split(count: int) -> int:
    """The largest power of two smaller than `count` (RFC 9162, 2.1.1)."""
    return 1 << (count - 1).bit_length() - 1


# ------------------------------------------------------------------------------------- checking


def check_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Check a proof of inclusion as RFC 9162, 2.1.3.2 does; `leaf` is the leaf's hash.

    Raises:
        ProofError: the leaf is not shown to stand there.
    """
    if not 0 <= index < size:
        raise ProofError(f"a tree of {size} leaves has none at {index}")
    computed = leaf
    for is_left, sibling in _climb(index, size - 1, proof, "inclusion"):
        computed = node_hash(sibling, computed) if is_left else node_hash(computed, sibling)
    if computed != root:
        raise ProofError(f"the proof of inclusion of leaf {index} leads to another root")


def check_consistency(
    old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check a proof of consistency as RFC 9162, 2.1.4.2 does.

    Raises:
        ProofError: the older tree is not shown to be a prefix of the newer one.
    """
    if not 0 <= old_size <= new_size:
        raise ProofError(f"a tree of {new_size} leaves has no prefix of {old_size}")
    if old_size in {0, new_size}:
        expected = new_root if old_size else EMPTY_ROOT
        if proof or old_root != expected:
            raise ProofError("trees of equal size have other roots")
        return
    path = list(proof)
    if old_size & (old_size - 1) == 0:  # a perfect tree is its own first hash
        path.insert(0, old_root)
    if not path:
        raise ProofError("the proof of consistency is empty")
    trailing = _trailing_ones(old_size - 1)
    old_computed = new_computed = path[0]
    steps = _climb(old_size - 1 >> trailing, new_size - 1 >> trailing, path[1:], "consistency")
    for is_left, sibling in steps:
        if is_left:
            old_computed = node_hash(sibling, old_computed)
            new_computed = node_hash(sibling, new_computed)
        else:
            new_computed = node_hash(new_computed, sibling)
    if old_computed != old_root:
        raise ProofError(f"the proof does not lead to the older root, of {old_size} leaves")
    if new_computed != new_root:
        raise ProofError(f"the proof does not lead to the newer root, of {new_size} leaves")


def _climb(
    place: int, last: int, siblings: Sequence[bytes], kind: str
) -> Iterator[tuple[bool, bytes]]:
    """Say of each sibling on the way up whether it stands to the left (fn and sn of RFC 9162)."""
    for sibling in siblings:
        if last == 0:
            raise ProofError(f"the proof of {kind} is too long")
        is_left = bool(place & 1) or place == last
        yield is_left, sibling
        if is_left:  # climb past the levels at which our node stands alone
            alone = _trailing_ones(~place) if place else 0
            place, last = place >> alone, last >> alone
        place, last = place >> 1, last >> 1
    if last:
        raise ProofError(f"the proof of {kind} is too short")


def _trailing_ones(number: int) -> int:
    """How many bits at the low end are set, below the first that is not."""
    return (~number & number + 1).bit_length() - 1

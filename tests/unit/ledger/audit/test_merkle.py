"""The tree against RFC 6962's own definition and published vectors; each proof with a bad twin."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.audit.merkle import (
    EMPTY_ROOT,
    ProofError,
    check_consistency,
    check_inclusion,
    consistency_proof,
    fold,
    inclusion_proof,
    leaf_hash,
    leaf_hashes,
    node_hash,
    range_hash,
)

# The leaves and roots that implementations of RFC 6962 have shared since Certificate Transparency.
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)


def _root(leaves: Sequence[bytes]) -> bytes:
    """MTH as RFC 6962, 2.1 defines it, word by word."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaf_hash(leaves[0])
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return node_hash(_root(leaves[:split]), _root(leaves[split:]))


class _Tree:
    """The perfect subtrees of some leaves; asking for one that is not complete is a bug."""

    def __init__(self, count: int) -> None:
        self.leaves = [str(number).encode() for number in range(count)]
        self.hashes = [leaf_hash(leaf) for leaf in self.leaves]

    def nodes(self, level: int, index: int) -> bytes:
        found = self.hashes[index << level : (index + 1) << level]
        assert len(found) == 1 << level
        return fold(found)

    def root(self, size: int) -> bytes:
        return _root(self.leaves[:size])


def _flipped(hash_: bytes) -> bytes:
    return bytes([hash_[0] ^ 1]) + hash_[1:]


TREE = _Tree(70)


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_leaves_hashed_together_have_the_hashes_of_each(leaves: list[bytes]) -> None:
    """One leaf's bytes never run into the next one's hash."""
    assert leaf_hashes(leaves) == [sha256(b"\x00" + leaf).digest() for leaf in leaves]


def test_roots_are_those_that_others_compute() -> None:
    """The vectors of Certificate Transparency's reference implementation."""
    assert [_root(LEAVES[:size]).hex() for size in range(1, 9)] == list(ROOTS)
    hashes = [leaf_hash(leaf) for leaf in LEAVES]

    def nodes(level: int, index: int) -> bytes:
        return fold(hashes[index << level : (index + 1) << level])

    assert [range_hash(nodes, 0, size).hex() for size in range(1, 9)] == list(ROOTS)


def test_a_tree_without_leaves_has_the_hash_of_nothing() -> None:
    """RFC 9162, 2.1.1: the hash of an empty list is the hash of an empty string."""
    assert range_hash(TREE.nodes, 0, 0) == EMPTY_ROOT


def test_every_leaf_of_every_tree_is_proved_and_nothing_else_is() -> None:
    """All trees up to 40 leaves: good proofs pass; another leaf, place or root does not."""
    for size in range(1, 41):
        root = TREE.root(size)
        for index in range(size):
            proof = inclusion_proof(TREE.nodes, index, size)
            leaf = TREE.hashes[index]
            check_inclusion(leaf, index, size, proof, root)
            with pytest.raises(ProofError):
                check_inclusion(_flipped(leaf), index, size, proof, root)
            with pytest.raises(ProofError):
                check_inclusion(leaf, index, size, [*proof, leaf], root)
            if size > 1:
                with pytest.raises(ProofError):
                    check_inclusion(leaf, (index + 1) % size, size, proof, root)
                with pytest.raises(ProofError):
                    check_inclusion(leaf, index, size, proof[:-1], root)


def test_every_tree_is_proved_to_be_a_prefix_and_no_other_is() -> None:
    """All pairs up to 40 leaves: good proofs pass; a changed root or hash does not."""
    for new in range(41):
        for old in range(new + 1):
            old_root, new_root = TREE.root(old), TREE.root(new)
            proof = consistency_proof(TREE.nodes, old, new)
            check_consistency(old, new, old_root, new_root, proof)
            if old:
                with pytest.raises(ProofError):
                    check_consistency(old, new, _flipped(old_root), new_root, proof)
                with pytest.raises(ProofError):
                    check_consistency(old, new, old_root, _flipped(new_root), proof)
                with pytest.raises(ProofError):
                    check_consistency(old, new, old_root, new_root, [*proof, new_root])
            if proof:
                with pytest.raises(ProofError):
                    check_consistency(old, new, old_root, new_root, proof[:-1])
                with pytest.raises(ProofError):
                    check_consistency(
                        old, new, old_root, new_root, [_flipped(proof[0]), *proof[1:]]
                    )


@pytest.mark.parametrize(("index", "size"), [(0, 0), (5, 5), (-1, 5)])
def test_leaves_that_are_not_there_have_no_proof(index: int, size: int) -> None:
    """Neither made nor checked."""
    with pytest.raises(ProofError, match=f"a tree of {size} leaves has none at {index}"):
        inclusion_proof(TREE.nodes, index, size)
    with pytest.raises(ProofError, match="has none at"):
        check_inclusion(TREE.hashes[0], index, size, [], EMPTY_ROOT)


def test_a_tree_cannot_have_a_longer_prefix() -> None:
    """Neither made nor checked: that log has shrunk."""
    with pytest.raises(ProofError, match="a tree of 3 leaves has no prefix of 4"):
        consistency_proof(TREE.nodes, 4, 3)
    with pytest.raises(ProofError, match="a tree of 3 leaves has no prefix of 4"):
        check_consistency(4, 3, TREE.root(4), TREE.root(3), [])


@given(st.data())
def test_a_proof_with_any_bit_changed_proves_nothing(data: st.DataObject) -> None:
    """Whatever is flipped in whichever hash, the check finds it."""
    size = data.draw(st.integers(2, 70))
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(TREE.nodes, index, size)
    step = data.draw(st.integers(0, len(proof) - 1))
    bit = data.draw(st.integers(0, 255))
    proof[step] = (int.from_bytes(proof[step], "big") ^ 1 << bit).to_bytes(32, "big")
    with pytest.raises(ProofError):
        check_inclusion(TREE.hashes[index], index, size, proof, TREE.root(size))

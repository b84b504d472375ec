"""Keys shared with card networks: brought, made, moved on, listed; never shown.

What a client asks in each exchange (which keys verify meanwhile: `hsm_sim.session_keys`):

    we asked, its answer holds a block    ImportSessionKey, confirm, promote
    the peer pushed a block               ImportSessionKey; answer it 00, or a refusal on
                                          `KeyRefused`; then confirm, promote
    we push                               GenerateSessionKey, send `key_block` and check value;
                                          on 00 confirm and promote, on a refusal abandon,
                                          without an answer neither: send it again, or wait for
                                          a MAC that verifies as `next`, then confirm, promote
    a MAC verified as `next`              confirm, promote

Every change is durable, and in the audit log, before it is answered; each costs a few milliseconds
of disk. Another worker of the same HSM knows of it at its next request.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from hsm_sim.wire.masked import Masked


class NetworkKey(Struct, array_like=True, gc=False, frozen=True):
    """A key of a network without its value; instants in seconds since 1970, 0 = has not come."""

    network: str
    usage: Literal["kek", "mac"]
    key_id: str  # empty for the key-exchange key
    # A kek is always current; a MAC key is next, then current, then previous until it expires.
    state: Literal["next", "current", "previous"]
    # kek: development (of a simulated network) | components (brought by people)
    # mac: imported (in a key block of the peer) | generated (here, and sent in ours)
    origin: Literal["development", "components", "imported", "generated"]
    check_value: str  # six hex digits: CMAC of a block of zeros (ANSI X9.24-1)
    created_at: int
    confirmed_at: int
    promoted_at: int
    expires_at: int  # of a previous key


class ListNetworkKeys(Struct, array_like=True, gc=False, frozen=True, tag="list_network_keys"):
    """The key-exchange key and the MAC keys of every network (roles: switch, admin)."""


class NetworkKeysListed(Struct, array_like=True, gc=False, frozen=True, tag="network_keys_listed"):
    """By network; the key-exchange key first, then current, next and previous."""

    keys: list[NetworkKey]


class ImportSessionKey(Struct, array_like=True, gc=False, frozen=True, tag="import_session_key"):
    """Take in a MAC key that the peer made (role: switch). Answered by `SessionKeyChanged`.

    It becomes `next`: it verifies, and makes no MACs before it is promoted. Another `next` gives
    way. Brought again, a key that is here already is answered as it stands. Refused (`KeyRefused`:
    no_kek, bad_key_block, wrong_attributes, wrong_check_value, key_id_in_use), nothing changes.
    """

    network: str
    key_id: str  # 1 to 16 letters or digits, as DE 53 will name it
    key_block: str  # X9.143 version D, usage M6, algorithm A, mode C
    check_value: str  # six hex digits, which the key must have


class GenerateSessionKey(
    Struct, array_like=True, gc=False, frozen=True, tag="generate_session_key"
):
    """Make a MAC key for the peer (role: switch). Answered by `SessionKeyGenerated`.

    As with `ImportSessionKey` it becomes `next` and another `next` gives way. Asked again with the
    same id it makes another key. Refused: no_kek, key_id_in_use.
    """

    network: str
    key_id: str


class SessionKeyGenerated(
    Struct, array_like=True, gc=False, frozen=True, tag="session_key_generated"
):
    """What the peer needs: the key under the key-exchange key, and its check value in `key`."""

    key: NetworkKey
    key_block: str  # 144 characters


class ChangeSessionKey(Struct, array_like=True, gc=False, frozen=True, tag="change_session_key"):
    """Move a MAC key on (role: switch). Answered by `SessionKeyChanged`; repeating does no harm.

    confirm: the peer has shown that it holds this `next`: it made it, it answered the key exchange
        with 00, or a MAC of its verified with it. Refused: unknown_key, wrong_check_value.
    promote: a confirmed `next` becomes current; the current one becomes previous and is valid for
        `hsm.session_key_overlap_s` more. Refused: unknown_key, not_confirmed, wrong_state.
    abandon: the peer refused this `next`: forget it. Refused: unknown_key, wrong_state.
    """

    network: str
    key_id: str
    change: Literal["confirm", "promote", "abandon"]
    check_value: str = ""  # of `confirm`: the one that the peer told, where it told one


class SessionKeyChanged(Struct, array_like=True, gc=False, frozen=True, tag="session_key_changed"):
    """The key as it stands now; after `abandon` as it last stood."""

    key: NetworkKey


class LoadKek(Masked, frozen=True, tag="load_kek"):
    """Load a network's key-exchange key from its components (role: admin).

    The key is the XOR of two or three components of 32 bytes; a key that is there is replaced.
    Answered by `KekLoaded`, or `KeyRefused`: bad_component, wrong_check_value.
    """

    network: str
    components: list[bytes]
    check_values: list[str]  # one for each component, six hex digits
    check_value: str = ""  # of the whole, where it is known beforehand


class KekLoaded(Struct, array_like=True, gc=False, frozen=True, tag="kek_loaded"):
    """The key-exchange key that is in use from now on."""

    key: NetworkKey


KeyRefusalCode = Literal[
    "no_kek",
    "bad_key_block",
    "wrong_attributes",
    "wrong_check_value",
    "bad_component",
    "key_id_in_use",
    "unknown_key",
    "not_confirmed",
    "wrong_state",
]


class KeyRefused(Struct, array_like=True, gc=False, frozen=True, tag="key_refused"):
    """Every key stays as it was. The refusal of a key from outside is in the audit log."""

    # no_kek: the network has no key-exchange key; load one
    # bad_key_block: not a block of version D, or not under this key-exchange key, or altered
    # wrong_attributes: a sound block of a key for something else than MACs both ways by AES-CMAC
    # wrong_check_value: the key is not the one that the other side speaks of
    # bad_component: not two or three different ones of 32 bytes
    # key_id_in_use: a current or previous key has this id
    # unknown_key, not_confirmed, wrong_state: see `ChangeSessionKey`
    code: KeyRefusalCode

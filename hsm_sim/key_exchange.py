"""The commands by which networks and we come to share keys.

`hsm_sim.session_keys` decides, `hsm_sim.network_keystore` keeps; here keys come in and go out. A
refusal changes nothing, and where it concerns a key from outside the audit log has it too. No
answer and no line holds more of a key than its check value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from msgspec.structs import replace

from chassis.key_block import (
    KeyAttributes,
    KeyBlockError,
    padding_bytes,
    unwrap_key,
    wrap_key,
)
from chassis.mac import check_value_text
from chassis.secrets import Key
from chassis.settings.tree import HSM
from hsm_sim import session_keys
from hsm_sim.audit import Action, Entry
from hsm_sim.keks import combine, install_kek, shown_kek
from hsm_sim.keys import NEVER_S
from hsm_sim.network_keystore import Change, NetworkKeys, NetworkKeystore, detail_of
from hsm_sim.session_keys import KeyExchangeError, SessionKey, find, living, same_check_value
from hsm_sim.wire import (
    ChangeSessionKey,
    GenerateSessionKey,
    HSMReply,
    ImportSessionKey,
    KekLoaded,
    KeyRefused,
    LoadKek,
    NetworkKey,
    NetworkKeysListed,
    SessionKeyChanged,
    SessionKeyGenerated,
)

MAC_KEY_USAGE: Final = ("M6", "A", "C")  # CMAC, AES, make and verify
SESSION_KEY_BYTES: Final = 16  # of those made here: an eight-byte MAC is the weaker part by far
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")  # of a network
_KEY_ID: Final = re.compile(r"[0-9A-Za-z]{1,16}")  # what DE 53 can carry

# What the audit log calls a step in a key's life.
_ACTIONS: Final[Mapping[str, Action]] = MappingProxyType(
    {
        "imported": "session_key_imported",
        "generated": "session_key_generated",
        "confirm": "session_key_confirmed",
        "promote": "session_key_promoted",
        "abandon": "session_key_abandoned",
    }
)

KeyExchangeRequest = ImportSessionKey | GenerateSessionKey | ChangeSessionKey | LoadKek


class KeyExchange:
    """Answers those who bring, want or move keys of networks.

    Args:
        store: the keys.
        settings: overlap and bounds.
        random: draws so many random bytes, such as `os.urandom`.
    """

    def __init__(
        self, store: NetworkKeystore, settings: HSM, random: Callable[[int], bytes]
    ) -> None:
        self._store = store
        self._settings = settings
        self._random = random

    def answer(self, request: KeyExchangeRequest, *, uid: int, now_s: int) -> HSMReply:
        """Answer a request whose sender may make it.

        Raises:
            KeystoreError: the keys became unusable.
            AuditError, OSError: log or keys cannot be written; nothing changed.
        """
        try:
            match request:
                case ImportSessionKey():
                    return self._import(request, uid, now_s)
                case GenerateSessionKey():
                    return self._generate(request, uid, now_s)
                case ChangeSessionKey():
                    return self._change(request, uid, now_s)
                case LoadKek():
                    return self._load_kek(request, uid, now_s)
        except KeyExchangeError as refusal:
            if isinstance(request, ImportSessionKey | LoadKek):
                self._note_refusal(request, refusal, uid, now_s)
            return KeyRefused(refusal.code)

    def listed(self, *, now_s: int) -> NetworkKeysListed:
        """Every living key without its value; raises KeystoreError as `answer`."""
        self._store.refresh()
        keys: list[NetworkKey] = []
        for _, shared in sorted(self._store.networks.items()):
            if shared.kek is not None:
                keys.append(shown_kek(shared.kek))
            keys += [_shown(key) for key in living(shared.ring, now_s)]
        return NetworkKeysListed(keys)

    def _import(self, request: ImportSessionKey, uid: int, now_s: int) -> HSMReply:
        self._store.refresh()
        kek = self._store.kek(request.network)
        try:
            attributes, material = unwrap_key(kek.reveal(), request.key_block)
        except KeyBlockError:
            raise KeyExchangeError("bad_key_block") from None
        if (attributes.usage, attributes.algorithm, attributes.mode) != MAC_KEY_USAGE:
            raise KeyExchangeError("wrong_attributes")
        check_value = check_value_text(material)
        if not same_check_value(request.check_value, check_value):
            raise KeyExchangeError("wrong_check_value")
        record = SessionKey(
            network=request.network,
            key_id=request.key_id,
            origin="imported",
            check_value=check_value,
            state="next",
            created_at_s=now_s,
        )
        return SessionKeyChanged(_shown(self._install(record, Key(material), uid, now_s)))

    def _generate(self, request: GenerateSessionKey, uid: int, now_s: int) -> HSMReply:
        self._store.refresh()
        kek = self._store.kek(request.network)
        material = self._random(SESSION_KEY_BYTES)
        record = SessionKey(
            network=request.network,
            key_id=request.key_id,
            origin="generated",
            check_value=check_value_text(material),
            state="next",
            created_at_s=now_s,
        )
        block = wrap_key(
            kek.reveal(),
            material,
            KeyAttributes(*MAC_KEY_USAGE),
            padding=self._random(padding_bytes(material)),
        )
        return SessionKeyGenerated(_shown(self._install(record, Key(material), uid, now_s)), block)

    def _install(self, record: SessionKey, material: Key, uid: int, now_s: int) -> SessionKey:
        """Make a key `next`, unless it is here already."""

        def plan(shared: NetworkKeys) -> Change:
            for key in shared.ring:
                if key.key_id == record.key_id and self._store.material(key) == material:
                    return shared, []
            new = self._store.wrap_session_key(record, material.reveal())
            entry = _entry(record.origin, record, uid)
            return replace(shared, ring=session_keys.install(shared.ring, new)), [entry]

        return find(self._store.change(record.network, plan, now_s=now_s).ring, record.key_id)

    def _change(self, request: ChangeSessionKey, uid: int, now_s: int) -> HSMReply:
        changed: list[SessionKey] = []

        def plan(shared: NetworkKeys) -> Change:
            old = find(shared.ring, request.key_id)
            ring = self._moved_on(shared.ring, request, now_s)
            changed.append(next((key for key in ring if key.key_id == request.key_id), old))
            entries = [] if ring is shared.ring else [_entry(request.change, old, uid)]
            return replace(shared, ring=ring), entries

        self._store.change(request.network, plan, now_s=now_s)
        return SessionKeyChanged(_shown(changed[0]))

    def _moved_on(
        self, ring: session_keys.Ring, request: ChangeSessionKey, now_s: int
    ) -> session_keys.Ring:
        match request.change:
            case "confirm":
                return session_keys.confirm(ring, request.key_id, request.check_value, now_s=now_s)
            case "promote":
                return session_keys.promote(
                    ring,
                    request.key_id,
                    now_s=now_s,
                    overlap_s=self._settings.session_key_overlap_s,
                    previous_max=self._settings.previous_session_keys_max,
                )
            case "abandon":
                return session_keys.abandon(ring, request.key_id)

    def _load_kek(self, request: LoadKek, uid: int, now_s: int) -> HSMReply:
        material = combine(request.components, request.check_values)
        if request.check_value and not same_check_value(
            request.check_value, check_value_text(material)
        ):
            raise KeyExchangeError("wrong_check_value")
        record = install_kek(
            self._store,
            request.network,
            Key(material),
            origin="components",
            detail={"uid": uid, "components": len(request.components)},
            now_s=now_s,
        )
        return KekLoaded(shown_kek(record))

    def _note_refusal(
        self, request: ImportSessionKey | LoadKek, refusal: KeyExchangeError, uid: int, now_s: int
    ) -> None:
        detail: dict[str, str | int] = {"network": request.network, "uid": uid}
        if isinstance(request, ImportSessionKey):
            detail["key_id"] = request.key_id
        action: Entry = (
            "session_key_refused" if isinstance(request, ImportSessionKey) else "kek_refused",
            {**detail, "code": refusal.code},
        )
        self._store.note(action, now_s=now_s)


def well_formed(request: KeyExchangeRequest) -> bool:
    """Whether the names in a request can be names: what else it holds has refusals of its own."""
    if not _NAME.fullmatch(request.network):
        return False
    return isinstance(request, LoadKek) or _KEY_ID.fullmatch(request.key_id) is not None


def _entry(step: str, key: SessionKey, uid: int) -> Entry:
    return _ACTIONS[step], {**detail_of(key), "uid": uid}


def _shown(key: SessionKey) -> NetworkKey:
    return NetworkKey(
        network=key.network,
        usage="mac",
        key_id=key.key_id,
        state=key.state,
        origin=key.origin,
        check_value=key.check_value,
        created_at=key.created_at_s,
        confirmed_at=key.confirmed_at_s,
        promoted_at=key.promoted_at_s,
        expires_at=0 if key.expires_at_s == NEVER_S else key.expires_at_s,
    )

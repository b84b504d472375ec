"""What clients of the HSM say and hear: msgspec records over `chassis.mux`, nothing else.

Requests and replies travel as tagged arrays. A batch is one request, so that one round trip
serves up to `hsm.batch_cards_max` cards. Clear card data appears in `OpenedCard`, in
`ReleasedCard` and in the messages to be authenticated.

Any request may be answered `Refused` instead, whole. Where a batch has an entry per item, the
answer has one in the same place, and one bad item never affects its neighbors.

    cards             opened on their way in; given back to the switch
    macs              DE 64 and DE 128
    network_keys      shared with card networks
    merchant_secrets  sealed for the ledger
"""

from __future__ import annotations

from msgspec import Struct

from hsm_sim.wire.cards import (
    CaptureKey,
    CardRefused,
    CardsOpened,
    CardsReleased,
    CardToOpen,
    CardToRelease,
    Id16,
    KeysListed,
    ListKeys,
    OpenCards,
    OpenedCard,
    Purpose,
    ReleaseCards,
    ReleasedCard,
    ReleaseRefused,
)
from hsm_sim.wire.macs import (
    MacRefused,
    Macs,
    MacsAnswered,
    MacToGenerate,
    MacToVerify,
    MacVerified,
)
from hsm_sim.wire.masked import Masked
from hsm_sim.wire.merchant_secrets import (
    SealSecrets,
    SecretsSealed,
    SecretsUnsealed,
    UnsealSecrets,
)
from hsm_sim.wire.network_keys import (
    ChangeSessionKey,
    GenerateSessionKey,
    ImportSessionKey,
    KekLoaded,
    KeyRefusalCode,
    KeyRefused,
    ListNetworkKeys,
    LoadKek,
    NetworkKey,
    NetworkKeysListed,
    SessionKeyChanged,
    SessionKeyGenerated,
)

__all__ = [
    "CaptureKey",
    "CardRefused",
    "CardToOpen",
    "CardToRelease",
    "CardsOpened",
    "CardsReleased",
    "ChangeSessionKey",
    "GenerateSessionKey",
    "HSMReply",
    "HSMRequest",
    "Id16",
    "ImportSessionKey",
    "KekLoaded",
    "KeyRefusalCode",
    "KeyRefused",
    "KeysListed",
    "ListKeys",
    "ListNetworkKeys",
    "LoadKek",
    "MacRefused",
    "MacToGenerate",
    "MacToVerify",
    "MacVerified",
    "Macs",
    "MacsAnswered",
    "Masked",
    "NetworkKey",
    "NetworkKeysListed",
    "OpenCards",
    "OpenedCard",
    "Purpose",
    "Refused",
    "ReleaseCards",
    "ReleaseRefused",
    "ReleasedCard",
    "SealSecrets",
    "SecretsSealed",
    "SecretsUnsealed",
    "SessionKeyChanged",
    "SessionKeyGenerated",
    "UnsealSecrets",
]


class Refused(Struct, array_like=True, gc=False, frozen=True, tag="hsm_refused"):
    """The whole request was refused and nothing was done."""

    reason: str  # not_permitted | batch_too_large | malformed | rate_limited | unavailable


HSMRequest = (
    OpenCards
    | ReleaseCards
    | Macs
    | ListKeys
    | SealSecrets
    | UnsealSecrets
    | ListNetworkKeys
    | ImportSessionKey
    | GenerateSessionKey
    | ChangeSessionKey
    | LoadKek
)
HSMReply = (
    CardsOpened
    | CardsReleased
    | MacsAnswered
    | KeysListed
    | SecretsSealed
    | SecretsUnsealed
    | NetworkKeysListed
    | SessionKeyGenerated
    | SessionKeyChanged
    | KekLoaded
    | KeyRefused
    | Refused
)

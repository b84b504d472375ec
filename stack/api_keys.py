"""Issuing API keys: sealed by the HSM, recorded in the ledger, written to a credentials file.

The ledger sees the secret half sealed only; the file, readable by its owner, holds it in the clear.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

import msgspec
from attrs import frozen

from chassis.durable import write_durably
from chassis.settings import Settings
from hsm_sim.wire import Refused, SealSecrets, SecretsSealed
from ledger.merchants import (
    ACTIVE_KEYS_MAX,
    add_api_key,
    list_api_keys,
    revoke_api_key,
    secret_context,
)
from ledger.statements import Runner
from stack.credentials import Credentials, CredentialsError, KeyPair, new_key_pair
from stack.hsm import HSMSilentError, ask_hsm


class SealingError(Exception):
    """The HSM did not seal a secret; nothing was recorded."""


class Sealer(Protocol):
    """Whoever seals secrets."""

    async def seal(self, publishable_key: str, secret_key: str) -> bytes:
        """Seal a secret key, bound to its publishable half."""


@frozen
class HSMSealer:
    """Seals through the first worker of the HSM, which must take us for its admin.

    Connects for each secret: they are few and far between.

    Args:
        socket: path of the worker's Unix socket.
        settings: bounds of the connection, and how long an answer may take.
    """

    socket: str
    settings: Settings

    async def seal(self, publishable_key: str, secret_key: str) -> bytes:
        """Seal a secret key, bound to its publishable half.

        Raises:
            SealingError: no connection or no answer in time, or a refusal.
        """
        request = SealSecrets([secret_key.encode()], [secret_context(publishable_key)])
        try:
            reply = await ask_hsm(self.socket, self.settings, request)
        except HSMSilentError as error:
            raise SealingError(f"the HSM did not seal a secret: {error}") from None
        if isinstance(reply, Refused):
            raise SealingError(f"the HSM refused to seal a secret: {reply.reason}")
        if not isinstance(reply, SecretsSealed):
            raise SealingError("the HSM did not seal a secret: it answered something else")
        return reply.blobs[0]


async def record_keys(
    runner: Runner, sealer: Sealer, merchant_id: bytes, pair: KeyPair, *, live: bool
) -> None:
    """Seal a pair's secret and add the pair to a merchant.

    Raises:
        SealingError: the HSM did not seal it.
        MerchantError: no such merchant, or two pairs of this mode are active.
    """
    sealed = await sealer.seal(pair.publishable_key, pair.secret_key)
    await add_api_key(
        runner,
        merchant_id,
        live=live,
        publishable_key=pair.publishable_key,
        sealed_secret=sealed,
    )


async def issue_keys(runner: Runner, sealer: Sealer, merchant_id: bytes, *, live: bool) -> KeyPair:
    """Give a merchant a new pair of keys; raises as `record_keys`."""
    pair = new_key_pair(live=live, random=os.urandom)
    await record_keys(runner, sealer, merchant_id, pair, live=live)
    return pair


async def make_room(runner: Runner, merchant_id: bytes, *, live: bool) -> None:
    """Revoke a merchant's oldest pair of a mode if there is no room for another one."""
    active = [
        key
        for key in await list_api_keys(runner, merchant_id)
        if key.live == live and key.status == "active"
    ]
    if len(active) >= ACTIVE_KEYS_MAX:
        await revoke_api_key(runner, active[0].publishable_key)


def save_credentials(path: Path, credentials: Credentials) -> None:
    """Write a credentials file, readable by its owner only, as a whole or not at all.

    Raises:
        CredentialsError: the file cannot be written; names it.
    """
    document = msgspec.json.format(msgspec.json.encode(credentials), indent=2)
    try:
        write_durably(path, document + b"\n")
    except OSError as error:
        raise CredentialsError(f"{path}: cannot be written: {error.strerror}") from error

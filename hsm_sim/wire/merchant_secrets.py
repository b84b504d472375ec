"""Merchants' secrets: sealed when they are made, unsealed when a request is verified."""

from __future__ import annotations

from msgspec import Struct

from hsm_sim.wire.masked import Masked


class SealSecrets(Masked, frozen=True, tag="seal_secrets"):
    """Seal merchant secrets (role: admin); `contexts` are bound as AAD."""

    secrets: list[bytes]
    contexts: list[bytes]


class SecretsSealed(Struct, array_like=True, gc=False, frozen=True, tag="secrets_sealed"):
    """One blob per secret, in order."""

    blobs: list[bytes]


class UnsealSecrets(Struct, array_like=True, gc=False, frozen=True, tag="unseal_secrets"):
    """Unseal merchant secrets for request verification (role: api)."""

    blobs: list[bytes]
    contexts: list[bytes]


class SecretsUnsealed(Masked, frozen=True, tag="secrets_unsealed"):
    """One entry per blob; empty bytes where a blob did not open."""

    secrets: list[bytes]

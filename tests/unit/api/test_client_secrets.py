"""Client secrets: derived, matched, recovered."""

from __future__ import annotations

from api import client_secrets
from api.auth.canonical import SigningKey

OLD, NEW = SigningKey(b"sk_test_old"), SigningKey(b"sk_test_new")
INTENT, PUBLIC = bytes(range(16)), "pi_0000000000000000000000"


def test_a_secret_names_its_intent_and_is_the_same_again() -> None:
    """Same key and intent, same secret; another of either, another secret."""
    secret = client_secrets.derive(OLD, INTENT, PUBLIC)
    assert secret == client_secrets.derive(OLD, INTENT, PUBLIC)
    assert secret.startswith(f"{PUBLIC}_secret_")
    assert len(secret) == len(PUBLIC) + len("_secret_") + 32
    assert secret != client_secrets.derive(NEW, INTENT, PUBLIC)
    assert secret != client_secrets.derive(OLD, bytes(16), PUBLIC)


def test_only_its_digest_is_kept() -> None:
    """32 bytes match the secret and nothing else."""
    secret = client_secrets.derive(OLD, INTENT, PUBLIC)
    stored = client_secrets.digest(secret)
    assert len(stored) == 32
    assert client_secrets.matches(secret, stored)
    assert not client_secrets.matches(secret[:-1], stored)


def test_a_secret_is_recovered_while_its_key_is_active() -> None:
    """A repeated creation finds it under either active key; after the roll it is gone."""
    secret = client_secrets.derive(OLD, INTENT, PUBLIC)
    stored = client_secrets.digest(secret)
    assert client_secrets.recover([NEW, OLD], INTENT, PUBLIC, stored) == secret
    assert client_secrets.recover([NEW], INTENT, PUBLIC, stored) is None

"""What the shop's process is told of its merchant: a file that it alone may read.

The supervisor writes it before the shop starts. Its folder belongs to the supervisor, so that the
shop, who serves strangers, can neither change the file nor put another in its place.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

from chassis.durable import write_durably
from stack.credentials import FILE_BYTES_MAX, Credentials, CredentialsError

KEYS_FILE: Final = Path("shop", "keys.json")


class ShopKeys(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """Whose shop it is, and where."""

    publishable_key: str
    secret_key: str
    api_url: str  # no slash at its end
    origins: tuple[str, ...]  # of the shop's page, as they were registered

    def __repr__(self) -> str:
        """Never the secret."""
        return f"ShopKeys({self.publishable_key!r}, {self.origins!r})"


def shop_origins(address: str) -> tuple[str, ...]:
    """The origins of a shop that listens at `host:port`: people type `localhost`, too."""
    host, _, port = address.rpartition(":")
    hosts = (host, "localhost") if host == "127.0.0.1" else (host,)
    return tuple(f"http://{name}:{port}" for name in hosts)


def shop_keys(credentials: Credentials, origins: tuple[str, ...]) -> ShopKeys:
    """What the shop needs of a merchant's credentials."""
    return ShopKeys(
        publishable_key=credentials.publishable_key,
        secret_key=credentials.secret_key,
        api_url=credentials.api_url,
        origins=origins,
    )


def save_keys(data_dir: Path, keys: ShopKeys, owner: tuple[int, int] | None) -> None:
    """Write the file and hand it to the shop's user.

    Raises:
        CredentialsError: it cannot be written; names it.
    """
    path = data_dir / KEYS_FILE
    try:
        write_durably(path, msgspec.json.encode(keys), mode=0o400)
        if owner is not None:
            os.chown(path, *owner, follow_symlinks=False)
    except OSError as error:
        raise CredentialsError(f"{path}: cannot be written: {error.strerror}") from error


def load_keys(data_dir: Path) -> ShopKeys:
    """Read the file.

    Raises:
        CredentialsError: it is absent, unreadable or something else; names it.
    """
    path = data_dir / KEYS_FILE
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(FILE_BYTES_MAX), type=ShopKeys)
    except OSError as error:
        raise CredentialsError(f"{path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CredentialsError(f"{path}: is no file of the shop's keys") from error

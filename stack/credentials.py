"""A merchant's credentials as a file: what `turnout sign` and `turnout pay` act with.

The file is what a merchant's server would keep: the publishable key, the secret key, and where the
API is. The first start of a stack writes `<data-dir>/demo-credentials.json` for the demo shop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec
from attrs import field, frozen

DEMO_FILE: Final = "demo-credentials.json"
FILE_BYTES_MAX: Final = 4_096
KEY_BYTES: Final = 32  # of randomness in each half of a pair
KEY_DIGITS: Final = 43  # 62^43 > 2^256 > 62^42
# A merchant's program may bring its credentials along; the names belong to it, not to our settings.
ENVIRONMENT: Final = ("MERCHANT_PUBLISHABLE_KEY", "MERCHANT_SECRET_KEY", "MERCHANT_API_URL")

_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class CredentialsError(Exception):
    """There are no usable credentials; says where they were looked for and what is wrong."""


class Credentials(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """One pair of keys and where to use it."""

    merchant: str  # mer_…
    publishable_key: str
    secret_key: str
    api_url: str  # such as http://127.0.0.1:8080, no slash at its end

    @property
    def live(self) -> bool:
        """Whether these keys move real money."""
        return self.publishable_key.startswith("pk_live_")

    def __repr__(self) -> str:
        """Never the secret."""
        return f"Credentials({self.publishable_key!r}, {self.api_url!r})"


@frozen
class KeyPair:
    """A new pair of API keys; the secret half is shown once and sealed."""

    publishable_key: str
    secret_key: str = field(repr=False)


def new_key_pair(*, live: bool, random: Callable[[int], bytes]) -> KeyPair:
    """Make `pk_…` and `sk_…`, each of 256 random bits in base62; `random(n)` gives n bytes."""
    mode = "live" if live else "test"
    return KeyPair(
        f"pk_{mode}_{_base62(random(KEY_BYTES))}", f"sk_{mode}_{_base62(random(KEY_BYTES))}"
    )


def load_credentials(path: Path) -> Credentials:
    """Read a credentials file.

    Raises:
        CredentialsError: it is absent, unreadable or not a credentials file; names the file.
    """
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise CredentialsError(f"{path}: {error.strerror}") from error
    if len(data) > FILE_BYTES_MAX:
        raise CredentialsError(f"{path}: is larger than {FILE_BYTES_MAX} bytes")
    try:
        return msgspec.json.decode(data, type=Credentials)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CredentialsError(f"{path}: is no credentials file: {error}") from None


def find_credentials(
    *, file: Path | None, environ: Mapping[str, str], data_dir: Path
) -> Credentials:
    """The credentials to act with: a file given, else the environment, else the demo shop's.

    Raises:
        CredentialsError: none of them is there and usable; says how to get some.
    """
    if file is not None:
        return load_credentials(file)
    given = [environ.get(name, "") for name in ENVIRONMENT]
    if any(given):
        if not all(given):
            missing = next(
                name for name, value in zip(ENVIRONMENT, given, strict=True) if not value
            )
            raise CredentialsError(f"{missing} is not set, although other MERCHANT_… variables are")
        publishable_key, secret_key, api_url = given
        return Credentials(
            merchant="",
            publishable_key=publishable_key,
            secret_key=secret_key,
            api_url=api_url.rstrip("/"),
        )
    path = data_dir / DEMO_FILE
    if not path.exists():
        raise CredentialsError(
            f"{path} does not exist: start a stack there first (`turnout up`), or name a file "
            f"with --credentials, or set {', '.join(ENVIRONMENT)}"
        )
    return load_credentials(path)


def _base62(material: bytes) -> str:
    number = int.from_bytes(material)
    digits = []
    for _ in range(KEY_DIGITS):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))

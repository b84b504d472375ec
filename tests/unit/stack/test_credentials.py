"""Credentials files and keys."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path

import pytest

from stack.api_keys import save_credentials
from stack.credentials import (
    DEMO_FILE,
    FILE_BYTES_MAX,
    Credentials,
    CredentialsError,
    find_credentials,
    load_credentials,
    new_key_pair,
)

SHOP = Credentials(
    merchant="mer_0000000000000000000001",
    publishable_key="pk_test_docs",
    secret_key="sk_test_docs",
    api_url="http://127.0.0.1:8080",
)
GIVEN = {
    "MERCHANT_PUBLISHABLE_KEY": "pk_test_env",
    "MERCHANT_SECRET_KEY": "sk_test_env",
    "MERCHANT_API_URL": "https://pay.example/",
}


@pytest.mark.parametrize(("live", "mode"), [(False, "test"), (True, "live")])
def test_keys_are_of_their_mode_and_of_256_bits(*, live: bool, mode: str) -> None:
    """Both halves carry the mode and 43 base62 digits, also for the extremes of randomness."""
    for random in (os.urandom, bytes, lambda count: b"\xff" * count):
        pair = new_key_pair(live=live, random=random)
        assert re.fullmatch(f"pk_{mode}_[0-9A-Za-z]{{43}}", pair.publishable_key)
        assert re.fullmatch(f"sk_{mode}_[0-9A-Za-z]{{43}}", pair.secret_key)


def test_different_randomness_gives_different_keys() -> None:
    """No bit of the 32 bytes is lost on the way to digits."""
    base = bytearray(32)
    keys = {new_key_pair(live=False, random=bytes).publishable_key}
    for position in range(256):
        flipped = bytearray(base)
        flipped[position // 8] ^= 1 << position % 8
        keys.add(new_key_pair(live=False, random=lambda _, f=bytes(flipped): f).publishable_key)
    assert len(keys) == 257


def test_the_secret_is_not_shown_by_accident() -> None:
    """Neither record prints its secret half."""
    pair = new_key_pair(live=False, random=os.urandom)
    assert pair.secret_key not in repr(pair)
    assert SHOP.secret_key not in repr(SHOP)


def test_a_saved_file_is_the_owners_and_comes_back(tmp_path: Path) -> None:
    """The file has exactly the four members of the contract, mode 0600, and loads as saved."""
    path = tmp_path / DEMO_FILE
    path.write_text("something else")
    path.chmod(0o644)
    save_credentials(path, SHOP)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert set(json.loads(path.read_text())) == {
        "merchant",
        "publishableKey",
        "secretKey",
        "apiUrl",
    }
    assert load_credentials(path) == SHOP
    assert [each.name for each in tmp_path.iterdir()] == [DEMO_FILE]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no credentials file"),
        (b"{", "no credentials file"),
        (b"\xff\xfe", "no credentials file"),
        (b'{"merchant": "mer_1"}', "missing"),
        (b'{"merchant": 1}', "Expected"),
        (b" " * (FILE_BYTES_MAX + 1), "larger"),
    ],
)
def test_a_file_that_is_none_is_refused_by_name(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    """The error names the file and the reason."""
    path = tmp_path / "keys.json"
    path.write_bytes(content)
    with pytest.raises(CredentialsError, match=reason) as caught:
        load_credentials(path)
    assert str(path) in str(caught.value)


def test_saving_where_nobody_can_write_is_told(tmp_path: Path) -> None:
    """A folder that is not there is an error that names the file."""
    with pytest.raises(CredentialsError, match="cannot be written"):
        save_credentials(tmp_path / "absent" / "keys.json", SHOP)


def test_a_named_file_comes_before_the_environment(tmp_path: Path) -> None:
    """--credentials wins over variables, variables over the demo shop."""
    named, demo = tmp_path / "named.json", tmp_path / DEMO_FILE
    save_credentials(named, SHOP)
    save_credentials(demo, SHOP)
    assert find_credentials(file=named, environ=GIVEN, data_dir=tmp_path) == SHOP
    from_environment = find_credentials(file=None, environ=GIVEN, data_dir=tmp_path)
    assert from_environment.publishable_key == "pk_test_env"
    assert from_environment.api_url == "https://pay.example"
    assert find_credentials(file=None, environ={}, data_dir=tmp_path) == SHOP


@pytest.mark.parametrize("missing", sorted(GIVEN))
def test_half_an_environment_is_an_error(tmp_path: Path, missing: str) -> None:
    """A variable that is not set beside others that are is named, not silently ignored."""
    environ = {name: value for name, value in GIVEN.items() if name != missing}
    with pytest.raises(CredentialsError, match=missing):
        find_credentials(file=None, environ=environ, data_dir=tmp_path)


def test_no_credentials_at_all_says_how_to_get_some(tmp_path: Path) -> None:
    """The error names the place and the ways out."""
    with pytest.raises(CredentialsError, match=r"turnout up.*--credentials.*MERCHANT_"):
        find_credentials(file=None, environ={}, data_dir=tmp_path)

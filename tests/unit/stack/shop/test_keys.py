"""The file by which the shop learns who it is."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from stack.credentials import Credentials, CredentialsError
from stack.shop.keys import KEYS_FILE, load_keys, save_keys, shop_keys, shop_origins

CREDENTIALS = Credentials(
    merchant="mer_0000000000000000000001",
    publishable_key="pk_test_shop",
    secret_key="sk_test_shop",
    api_url="http://127.0.0.1:8080",
)
KEYS = shop_keys(CREDENTIALS, shop_origins("127.0.0.1:8081"))


def test_the_file_is_for_one_reader(tmp_path: Path) -> None:
    """Written whole, over an earlier one, and never shown."""
    (tmp_path / "shop").mkdir()
    for _ in range(2):
        save_keys(tmp_path, KEYS, (os.geteuid(), os.getegid()))
    assert load_keys(tmp_path) == KEYS
    assert stat.S_IMODE((tmp_path / KEYS_FILE).stat().st_mode) == 0o400
    assert "sk_test" not in repr(KEYS)


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff", b'{"publishableKey":1}'])
def test_a_file_that_is_none_is_named(tmp_path: Path, content: bytes | None) -> None:
    """Its content is not."""
    (tmp_path / "shop").mkdir()
    if content is not None:
        (tmp_path / KEYS_FILE).write_bytes(content)
    with pytest.raises(CredentialsError, match=r"keys\.json"):
        load_keys(tmp_path)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    """When the file is written, too."""
    with pytest.raises(CredentialsError, match="cannot be written"):
        save_keys(tmp_path, KEYS, None)


def test_people_type_localhost(tmp_path: Path) -> None:
    """Of this machine both names; of another address only that."""
    assert KEYS.origins == ("http://127.0.0.1:8081", "http://localhost:8081")
    assert shop_origins("10.0.0.7:8081") == ("http://10.0.0.7:8081",)

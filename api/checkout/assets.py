"""The files that browsers load, read once when the process starts.

Each script has an address that holds its hash and is good for ever; the loader has one without,
too, for pages that take whatever is current. Earlier loaders stay in `static/loaders/`, so a page
that pins one goes on working.
"""

from __future__ import annotations

import gzip
import hashlib
from base64 import b64encode
from collections.abc import Mapping
from importlib import resources
from typing import Any, Final

import msgspec
from attrs import frozen

_STATIC: Final = resources.files("api.checkout") / "static"


class Script(msgspec.Struct, frozen=True, kw_only=True):
    """One script of the inventory, as the build described it."""

    file: str
    url: str
    reason: str
    integrity: str
    bytes: int
    gzip_bytes: int = msgspec.field(name="gzipBytes")
    contains: list[dict[str, str]]


@frozen
class Asset:
    """A file as it is sent."""

    text: bytes
    packed: bytes  # the same, gzipped


@frozen(kw_only=True)
class Assets:
    """Everything there is to load.

    Attributes:
        loader: the current one.
        script: of the hosted document.
        by_name: each file by the last part of its immutable address.
        inventory: the JSON document of the build (PCI DSS 6.4.3).
        document: the template of the hosted document.
        style: of the hosted document.
        texts: by language, what the form says.
    """

    loader: Script
    script: Script
    by_name: Mapping[str, Asset]
    inventory: Asset
    document: str
    style: str
    texts: Mapping[str, Mapping[str, str]]


class AssetError(Exception):
    """A file is not what the inventory says; names the file."""


def load_assets() -> Assets:
    """Read every file, and hold the scripts to their inventory.

    Raises:
        AssetError: a script is another than the one that was described.
    """
    inventory = (_STATIC / "inventory.json").read_bytes()
    scripts = msgspec.json.decode(inventory, type=_Inventory).scripts
    by_name = {
        entry.name: _asset(entry.read_bytes())
        for entry in (_STATIC / "loaders").iterdir()
        if entry.name.endswith(".js")
    }
    for script in scripts:
        text = _STATIC.joinpath(*script.file.split("/")).read_bytes()
        if script.integrity != integrity_of(text):
            raise AssetError(f"{script.file} is not the script that inventory.json describes")
        by_name[script.url.rpartition("/")[2]] = _asset(text)
    return Assets(
        loader=next(script for script in scripts if script.file.startswith("loaders/")),
        script=next(script for script in scripts if script.file == "fields.js"),
        by_name=by_name,
        inventory=_asset(inventory),
        document=(_STATIC / "fields.html").read_text(encoding="utf-8"),
        style=(_STATIC / "fields.css").read_text(encoding="utf-8"),
        texts={
            entry.name.removesuffix(".json"): msgspec.json.decode(
                entry.read_bytes(), type=dict[str, str]
            )
            for entry in (_STATIC / "texts").iterdir()
            if entry.name.endswith(".json")
        },
    )


def integrity_of(text: bytes) -> str:
    """The value of `integrity` for a script (Subresource Integrity)."""
    return "sha384-" + b64encode(hashlib.sha384(text).digest()).decode("ascii")


class _Inventory(msgspec.Struct, frozen=True):
    about: str
    scripts: list[Script]


def _asset(text: bytes) -> Asset:
    return Asset(text, gzip.compress(text, mtime=0))


def accepts_gzip(headers: Mapping[bytes, Any]) -> bool:
    """Whether a request says that its sender unpacks gzip; `gzip;q=0` does not."""
    for item in headers.get(b"accept-encoding", b"").split(b","):
        coding, _, weight = item.replace(b" ", b"").partition(b";")
        if coding.lower() == b"gzip":
            return not weight.startswith(b"q=0") or weight.strip(b"q=.0") != b""
    return False

"""Marked card data, and a search for it in every form that it could be written in.

All numbers of one network share their first twelve digits, the stem, which no other test uses. So
one search finds any of them: in the clear, grouped, packed as BCD, in hex, in base64, in UTF-16.
"""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64decode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from chassis.masking import passes_luhn
from turnout_client import Card

STEMS: Final = ("424242007193", "555555007193")  # approved by the first, by the second network
DECLINED_STEM: Final = "424242057193"
CVC: Final = "7193"
NAME: Final = "Canary Q Holder"
_CVC_ELEMENT: Final = "92047193"  # as DE 48 carries it


def canary_number(number: int, stem: str = STEMS[0]) -> str:
    """The n-th number of a stem, with its check digit; n up to 999."""
    head = f"{stem}{number:03d}"
    return next(pan for digit in "0123456789" if passes_luhn(pan := head + digit))


def canary_card(number: int, stem: str = STEMS[0]) -> Card:
    """A card whose every part would be recognized."""
    pan = canary_number(number, stem)
    return Card(number=pan, exp_month=12, exp_year=2030, cvc=CVC, name=NAME)


def forms_of_digits(digits: str) -> Mapping[str, bytes]:
    """What to look for, by what it is."""
    plain = digits.encode()
    groups = [digits[at : at + 4] for at in range(0, len(digits), 4)]
    forms = {
        "clear": plain,
        "grouped": " ".join(groups).encode(),
        "hyphened": "-".join(groups).encode(),
        "BCD": bytes.fromhex(digits),
        "BCD, shifted": bytes.fromhex(digits[1:-1]),
        "hex": plain.hex().encode(),
        "HEX": plain.hex().upper().encode(),
        "UTF-16": digits.encode("utf-16-le"),
    }
    for offset in range(3):
        text = b64encode(bytes(offset) + plain + bytes(3))
        first, last = -(-8 * offset // 6), 8 * (offset + len(plain)) // 6
        forms[f"base64 at {offset}"] = text[first:last]  # what the digits alone decide
    return forms


def forms_of_ciphertext(ciphertext: str) -> Mapping[str, bytes]:
    """Of a sealed card, which holds a CVC and must not be kept either: its middle."""
    sealed = ciphertext.rpartition(".")[2]
    raw = urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
    return {"sealed text": sealed[100:132].encode(), "sealed bytes": raw[100:124]}


def card_forms() -> dict[str, bytes]:
    """Every form of every stem, the CVC as an element of a message, and the name."""
    forms = {"CVC element": _CVC_ELEMENT.encode(), "name": NAME.encode()}
    for stem in (*STEMS, DECLINED_STEM):
        forms |= {f"{stem} {name}": form for name, form in forms_of_digits(stem).items()}
    return forms


def search(folder: Path, forms: Mapping[str, bytes]) -> set[tuple[str, str]]:
    """(file, form) of everything found in the files below a folder."""
    found = set()
    for path in _files(folder):
        data = path.read_bytes()
        found |= {
            (str(path.relative_to(folder)), name) for name, form in forms.items() if form in data
        }
    return found


def _files(folder: Path) -> Iterator[Path]:
    """Regular files; Postgres may remove one meanwhile, so only those that can be read."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path

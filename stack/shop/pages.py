"""The shop's page and what it loads, built when the process starts."""

from __future__ import annotations

from html import escape
from importlib import resources
from string import Template
from typing import Final

from api.http.answer import Answer, prepare_head
from stack.shop.goods import GOODS
from stack.shop.keys import ShopKeys

_STATIC: Final = resources.files("stack.shop") / "static"
_FILES: Final = {
    name: (_STATIC / name).read_text(encoding="utf-8")
    for name in ("shop.html", "good.html", "shop.css", "shop.js")
}
_SHAPES: Final = {
    "turnout": "M6 44H90M30 44C50 44 62 36 78 14",
    "crossing": "M6 14 90 44M6 44 90 14M30 22C44 28 52 28 66 22",
    "signal": "M30 52V6M30 12H74L68 22H30M30 30H60L54 40H30M16 52H44",
}


def answers(keys: ShopKeys) -> dict[bytes, Answer]:
    """What stands at each address of the shop."""
    page = Template(_FILES["shop.html"]).substitute(
        key=escape(keys.publishable_key), api=escape(keys.api_url), goods=_goods()
    )
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' {keys.api_url}",
            "style-src 'self'",
            "connect-src 'self'",
            f"frame-src {keys.api_url}",
            "img-src 'self' data:",
            "form-action 'none'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )
    headers = (("Content-Security-Policy", policy), ("Referrer-Policy", "no-referrer"))
    return {
        b"/": _answer("text/html", page, *headers),
        b"/shop.css": _answer("text/css", _FILES["shop.css"]),
        b"/shop.js": _answer("text/javascript", _FILES["shop.js"]),
    }


def _goods() -> str:
    return "".join(
        Template(_FILES["good.html"]).substitute(
            id=escape(key),
            name=escape(good.name),
            price=f"${good.price_minor / 100:.2f}",
            shape=_SHAPES[key],
        )
        for key, good in GOODS.items()
    )


def _answer(media_type: str, text: str, *headers: tuple[str, str]) -> Answer:
    head = prepare_head(200, f"{media_type}; charset=utf-8", *headers, cache="no-cache")
    return Answer(head, text.encode())

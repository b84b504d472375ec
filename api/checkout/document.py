"""The hosted document: the form in one language, for the pages of one merchant."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from string import Template
from typing import Final

from attrs import define, field

from api.checkout.assets import Assets

DEFAULT_LOCALE: Final = "en"


@define
class HostedDocument:
    """Writes documents; what is the same in all of one language is written once."""

    assets: Assets
    _by_locale: dict[str, Template] = field(factory=dict)

    def write(
        self, *, publishable_key: str, locale: str, origins: Sequence[str], nonce: str
    ) -> str:
        """One document.

        Args:
            publishable_key: whose.
            locale: of `assets.texts`; the default for any other.
            origins: the only ones that it listens to.
            nonce: base64, as in its policy.
        """
        return self._template(locale).substitute(
            key=escape(publishable_key), origins=escape(json.dumps(list(origins))), nonce=nonce
        )

    def _template(self, locale: str) -> Template:
        chosen = locale if locale in self.assets.texts else DEFAULT_LOCALE
        template = self._by_locale.get(chosen)
        if template is None:
            template = self._by_locale[chosen] = _of_language(self.assets, chosen)
        return template


def _of_language(assets: Assets, locale: str) -> Template:
    texts = dict(assets.texts[locale])
    direction = texts.pop("direction")
    text = Template(assets.document).safe_substitute(
        locale=locale,
        direction=direction,
        title=escape(texts["form"]),
        texts=escape(_plain_json(texts)),
        style=assets.style,
        script=assets.script.url,
        integrity=assets.script.integrity,
    )
    return Template(text)


def _plain_json(value: Mapping[str, str]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

"""The page of all settings, made of the settings themselves: names, defaults, and why they are so.

`python -m tests.support.settings_page > docs/settings.md` (`make settings-page`) writes it; a test
holds the page to it.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import attrs
import msgspec

from chassis.settings.leaves import is_section
from chassis.settings.tree import Settings

SOURCES: Final = Path(__file__).parents[2] / "chassis" / "settings"
HEAD: Final = """\
# Settings

Every setting, its default and the reason for it, made from `chassis/settings`. How they are set,
and which of a file, a variable and a flag wins: [running a stack](operations.md#settings). Units
stand last in a name: `_s` seconds, `_ms` milliseconds, `_bytes`. Most are bounds that nobody has
to touch.
"""


@attrs.frozen
class Described:
    """What stands beside the fields of one section, in the source."""

    doc: str
    comments: Mapping[str, str]


def settings_page() -> str:
    """The page, whole."""
    described = _described()
    return HEAD + "".join(_sections(Settings, (), described))


def setting_defaults() -> dict[str, Any]:
    """Every setting by its dotted name; `networks.<name>.…` for those of a network."""
    return dict(_defaults(Settings, ()))


def _defaults(section: type[Any], path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for field in msgspec.structs.fields(section):
        below = _below((*path, field.name), field.type)
        if below is None:
            yield ".".join((*path, field.name)), field.default
        else:
            yield from _defaults(below[1], below[0])


def _below(path: tuple[str, ...], declared: Any) -> tuple[tuple[str, ...], type[Any]] | None:
    """The section that a field holds and its path, None for a setting."""
    if not is_section(declared):
        return None
    if get_origin(declared) is dict:
        return (*path, "<name>"), get_args(declared)[1]
    return path, declared


def _sections(
    section: type[Any], path: tuple[str, ...], described: Mapping[str, Described]
) -> Iterator[str]:
    said = described[section.__name__]
    rows, sections = [], []
    for field in msgspec.structs.fields(section):
        below = _below((*path, field.name), field.type)
        if below is not None:
            sections.append(below)
            continue
        name = ".".join((*path, field.name))
        what = " ".join(filter(None, (_choices(field.type), said.comments.get(field.name, ""))))
        rows.append(f"| `{name}` | {_shown(field.default)} | {what} |\n")
    if path:
        yield f"\n## {'.'.join(path)}\n\n{said.doc}\n"
    if rows:
        yield "\n| setting | default | |\n|---|---|---|\n" + "".join(rows)
    if path[:1] == ("networks",):
        yield _networks(section)
    for inner, declared in sections:
        yield from _sections(declared, inner, described)


def _networks(section: type[Any]) -> str:
    """What the two networks of a fresh stack have set otherwise."""
    networks = Settings().networks
    rows = []
    for field in msgspec.structs.fields(section):
        values = [getattr(network, field.name) for network in networks.values()]
        if any(value != field.default for value in values):
            rows.append(f"| `{field.name}` | {' | '.join(map(_shown, values))} |\n")
    names = [f"`networks.{name}`" for name in networks]
    head = f"| | {' | '.join(names)} |\n|{'---|' * (len(names) + 1)}\n"
    return (
        f"\nA fresh stack has {' and '.join(names)}, for which by default:\n\n{head}{''.join(rows)}"
    )


def _shown(value: Any) -> str:
    """A default as the settings file would have it; nothing where it is empty."""
    if value in ("", ()):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, tuple):
        return f"`[{', '.join(_shown(one).strip('`') for one in value)}]`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


def _choices(declared: Any) -> str:
    if get_origin(declared) is not Literal:
        return ""
    return " or ".join(_shown(choice) for choice in get_args(declared) if choice) + "."


def _described() -> dict[str, Described]:
    """By section's class: its docstring, and for each field the comments above and beside it."""
    found = {}
    for path in sorted(SOURCES.glob("*.py")):
        text = path.read_text()
        comments = _comments(text)
        for node in ast.parse(text).body:
            if isinstance(node, ast.ClassDef) and "Section" in map(ast.unparse, node.bases):
                fields = {
                    field.target.id: _beside(field, comments)
                    for field in node.body
                    if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
                }
                found[node.name] = Described(_escaped(ast.get_docstring(node) or ""), fields)
    return found


def _comments(text: str) -> dict[int, tuple[str, bool]]:
    """By line: a comment, and whether it has the line for itself."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {
        token.start[0]: (token.string.lstrip("# "), token.line.lstrip().startswith("#"))
        for token in tokens
        if token.type == tokenize.COMMENT
    }


def _beside(field: ast.AnnAssign, comments: Mapping[int, tuple[str, bool]]) -> str:
    assert field.end_lineno is not None
    above = []
    line = field.lineno - 1
    while line in comments and comments[line][1]:
        above.insert(0, comments[line][0])
        line -= 1
    beside = [
        comments[number][0].removeprefix("noqa").strip()
        for number in range(field.lineno, field.end_lineno + 1)
        if number in comments
    ]
    text = " ".join(above)
    if text and not text.endswith((".", ":", ";")):
        text += "."
    return _escaped(" ".join(filter(None, (text, *beside))))


def _escaped(text: str) -> str:
    """Free of what a Markdown table would take for its own."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


if __name__ == "__main__":
    sys.stdout.write(settings_page())

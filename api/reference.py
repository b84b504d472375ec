"""`GET /docs`: the OpenAPI document as a page for people.

Made from the document rather than beside it, so that the two cannot say different things.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html import escape
from typing import Any, Final

from api.declines import DECLINES
from api.errors import CATALOG
from api.html import page, table

_CODE = re.compile(r"`([^`]+)`")
_ERRORS_FROM: Final = 400
_INTRODUCTION: Final = (
    "<p>Requests of a merchant's server are signed; the HTTP guide says how, step by step, with "
    "test vectors: <code>docs/http-api.md</code> among Turnout's sources. This page is made from "
    '<a href="/openapi.json">/openapi.json</a>.</p>'
)

Schema = Mapping[str, Any]


def reference_page(document: Schema) -> str:
    """Routes, objects and error codes of an OpenAPI document made by `api.openapi`."""
    operations = [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    index = [
        (
            f"<code>{method.upper()}</code>",
            _path_link(path, operation),
            _prose(operation["summary"]),
        )
        for method, path, operation in operations
    ]
    schemas = document["components"]["schemas"]
    return page(
        "Turnout API",
        _INTRODUCTION
        + f"<h2>Routes</h2>{table(index)}"
        + f"<h2>Authentication</h2>{_schemes(document['components']['securitySchemes'])}"
        + "".join(_route(*operation) for operation in operations)
        + f"<h2>Webhooks</h2>{_webhooks(document['webhooks'])}"
        + "<h2>Objects</h2>"
        + "".join(_object(name, schemas[name]) for name in schemas)
        + f"<h2>Error codes</h2>{table(_codes())}"
        + f'<h2 id="declines">Decline codes</h2>{table(_declines())}',
    )


def _path_link(path: str, operation: Schema) -> str:
    return f'<a href="#{operation["operationId"]}"><code>{escape(path)}</code></a>'


def _route(method: str, path: str, operation: Schema) -> str:
    body = operation.get("requestBody")
    sent = f"<p>Body: {_content(body)}</p>" if body else ""
    return (
        f'<h3 id="{operation["operationId"]}"><code>{method.upper()} {escape(path)}</code></h3>'
        f"<p>{_prose(operation['summary'])}. {_who(operation['security'])}</p>"
        f"{table([_parameter(each) for each in operation['parameters']])}{sent}"
        f"{_examples(body or {})}"
        f"{table([_answer(*each) for each in operation['responses'].items()])}"
        + "".join(
            _examples(answer, status)
            for status, answer in operation["responses"].items()
            if int(status) < _ERRORS_FROM
        )
    )


def _schemes(schemes: Mapping[str, Schema]) -> str:
    """What proves who asks: headers."""
    rows = [
        (f"<code>{scheme.get('name', 'Authorization')}</code>", _prose(scheme["description"]))
        for scheme in schemes.values()
    ]
    return table(rows)


def _webhooks(webhooks: Mapping[str, Schema]) -> str:
    """What endpoints are sent: alike for all types."""
    sent = [item["post"] for item in webhooks.values()]
    names = [(f"<code>{escape(name)}</code>",) for name in webhooks]
    shown = "".join(_examples(operation["requestBody"]) for operation in sent)
    return (
        f"{table(names)}<p>Body: {_content(sent[0]['requestBody'])}. Headers:</p>"
        f"{table([_parameter(each) for each in sent[0]['parameters']])}{shown}"
    )


def _examples(holder: Schema, status: str = "") -> str:
    """What a body may look like, folded away."""
    return "".join(
        f"<details><summary>{escape(f'{status} {name}'.strip())}</summary>"
        f"<pre>{escape(json.dumps(example['value'], indent=2, ensure_ascii=False))}</pre></details>"
        for content in holder.get("content", {}).values()
        for name, example in content.get("examples", {}).items()
    )


def _who(security: list[Schema]) -> str:
    ways = ["a signature" if "signature" in way else "a client secret" for way in security]
    return f"With {' or '.join(ways)}." if ways else "Open to everybody."


def _parameter(parameter: Schema) -> tuple[str, ...]:
    kind = f"{parameter['in']}, {_type(parameter['schema'])}"
    if parameter.get("required"):
        kind += ", required"
    told = _prose(parameter.get("description", ""))
    if limits := _limits(parameter["schema"]):
        told = f"{told} {limits}".strip()
    return f"<code>{parameter['name']}</code>", kind, told


def _answer(status: str, answer: Schema) -> tuple[str, ...]:
    if int(status) >= _ERRORS_FROM and _CODE.search(answer["description"]):
        links = (_error_link(code) for code in _CODE.findall(answer["description"]))
        return f"<code>{status}</code>", ", ".join(links)
    return f"<code>{status}</code>", f"{_prose(answer['description'])}: {_content(answer)}"


def _content(holder: Schema) -> str:
    return ", ".join(
        f"{_type(content['schema'])}" if media.endswith("json") else f"<code>{media}</code>"
        for media, content in holder["content"].items()
    )


def _object(name: str, schema: Schema) -> str:
    required = schema.get("required", ())
    rows = [
        (
            f"<code>{member}</code>",
            _type(of) + ("" if member in required else ", optional"),
            _limits(of),
        )
        for member, of in schema["properties"].items()
    ]
    return f'<h3 id="{name}">{name}</h3><p>{_prose(schema["description"])}</p>{table(rows)}'


def _type(schema: Schema) -> str:
    """A schema in words; objects are linked."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(choice) for choice in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if isinstance(values := schema.get("additionalProperties"), Mapping) and values:
        return f"object of {_type(values)}s"
    return str(schema.get("format") or schema.get("type", "string"))


def _limits(schema: Schema) -> str:
    """What a value may be, beside its type."""
    for choice in schema.get("anyOf", ()):
        if found := _limits(choice):
            return found
    if "items" in schema:
        return _limits(schema["items"])
    if "enum" in schema:
        return ", ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    if "pattern" in schema:
        return f"<code>{escape(schema['pattern'])}</code>"
    for low, high, unit in (
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minProperties", "maxProperties", " members"),
    ):
        if high in schema:
            return f"{schema.get(low, 0)} to {schema[high]}{unit}"
    return ""


def _codes() -> list[tuple[str, ...]]:
    return [
        (str(definition.status), _error_link(code), escape(definition.title))
        for code, definition in sorted(CATALOG.items(), key=lambda item: item[1].status)
    ]


def _declines() -> list[tuple[str, ...]]:
    return [
        (
            f'<a href="/docs/declines/{code}"><code>{code}</code></a>',
            f"<code>{definition.advice}</code>",
            escape(definition.meaning),
        )
        for code, definition in DECLINES.items()
    ]


def _error_link(code: str) -> str:
    return f'<a href="/docs/errors/{code}"><code>{code}</code></a>'


def _prose(text: str) -> str:
    """Text with code in backticks."""
    return _CODE.sub(r"<code>\1</code>", escape(text, quote=False))

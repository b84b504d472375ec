"""Errors as the API tells them: `application/problem+json` (RFC 9457) from one catalog.

Every code stands once in `error_catalog.toml` with its status and its page. A `Problem` is a
value that a handler answers with; `ProblemError` carries one out of nested pure code. Neither
ever holds what the caller sent: only names of places and the rule that was broken.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Final, final

import msgspec
from msgspec import UNSET, Struct, UnsetType, structs

PROBLEM_TYPE_PREFIX: Final = "/docs/errors/"


class ErrorDefinition(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of the catalog."""

    status: int
    title: str
    meaning: str
    action: str


def _load_catalog() -> Mapping[str, ErrorDefinition]:
    text = (resources.files("api") / "error_catalog.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), dict[str, ErrorDefinition])


CATALOG: Final = _load_catalog()


class FieldProblem(Struct, frozen=True):
    """One fault: where it is, a code and a sentence.

    Attributes:
        pointer: a JSON pointer into the body (RFC 6901); left out for a parameter.
        code: such as `amount_out_of_range`.
        detail: the rule that is broken.
        parameter: the name of a query parameter, where that is what is wrong.
    """

    pointer: str | UnsetType
    code: str
    detail: str
    parameter: str | UnsetType = UNSET


@final
class Problem(Struct, frozen=True):
    """What went wrong with one request, before it is written out.

    Attributes:
        code: a key of `CATALOG`.
        detail: one sentence for this occurrence; the catalog's meaning where it is empty.
        errors: the faults of body or query, where there are any.
        retry_after_s: for `Retry-After`; 0 leaves the header out.
        canonical_string: test mode only, the ten lines as the server sees them.
        server_time: test mode only, RFC 3339.
        allow: for `Allow` of a 405.
        close: the connection cannot be used any more.
    """

    code: str
    detail: str = ""
    errors: tuple[FieldProblem, ...] = ()
    retry_after_s: int = 0
    canonical_string: str = ""
    server_time: str = ""
    allow: str = ""
    close: bool = False

    @property
    def status(self) -> int:
        """The HTTP status of the code."""
        return CATALOG[self.code].status


class ProblemError(Exception):
    """Ends the handling of one request with a problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.code)
        self.problem = problem


class Fault(Struct, frozen=True, kw_only=True):
    """One fault of a request: of the body with a `pointer`, of the query with a `parameter`."""

    pointer: str | UnsetType = UNSET
    code: str
    detail: str
    parameter: str | UnsetType = UNSET


class ProblemDocument(Struct, frozen=True, rename="camel", kw_only=True):
    """The body of every answer of 400 or more (RFC 9457); decide by `code`."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    request_id: str
    errors: tuple[Fault, ...]
    canonical_string: str | UnsetType = UNSET
    server_time: str | UnsetType = UNSET


_encode = msgspec.json.Encoder().encode


def document(problem: Problem, request_id: str) -> bytes:
    """The JSON body of a problem."""
    definition = CATALOG[problem.code]
    return _encode(
        ProblemDocument(
            type=PROBLEM_TYPE_PREFIX + problem.code,
            title=definition.title,
            status=definition.status,
            code=problem.code,
            detail=problem.detail or definition.meaning,
            request_id=request_id,
            errors=tuple(Fault(**structs.asdict(fault)) for fault in problem.errors),
            canonical_string=problem.canonical_string or UNSET,
            server_time=problem.server_time or UNSET,
        )
    )


def markdown() -> str:
    """The whole catalog as one page, `docs/errors/README.md`."""
    fault = FieldProblem("/amountInCents", "amount_out_of_range", "…")
    example = document(Problem("amount_out_of_range", "…", errors=(fault,)), "…").decode()
    lines = [
        "# Errors",
        "",
        "Every error is `application/problem+json` (RFC 9457):",
        "",
        "```json",
        example,
        "```",
        "",
        "Decide by `code`, which is stable; `title` and `detail` are for people. `requestId` is",
        "also in the `X-Request-Id` header of every answer. Answers with 429 and 503 carry",
        "`Retry-After` in seconds. `GET /docs/errors/<code>` serves each section below.",
        "",
        "This page is generated: `python -m api.errors > docs/errors/README.md`.",
    ]
    status = 0
    for code, definition in sorted(CATALOG.items(), key=lambda item: item[1].status):
        if definition.status != status:
            status = definition.status
            lines += ["", f"## {status}"]
        lines += ["", f"### {code}", "", f"**{definition.title}.** {definition.meaning}", ""]
        lines += [f"*What to do:* {definition.action}"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    import sys

    sys.stdout.write(markdown())

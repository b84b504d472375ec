"""The error catalog, and the documents made of it."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from api.errors import CATALOG, FieldProblem, Problem, document, markdown
from api.http.answer import REASONS

ROOT = Path(__file__).parents[3]


def test_a_document_has_the_members_of_the_contract() -> None:
    """Names and order; the helpers of test mode only where there is something to say."""
    fault = FieldProblem("/currency", "unknown_currency", "must be known")
    plain = json.loads(document(Problem("unknown_currency", "d", (fault,)), "id"))
    assert plain == {
        "type": "/docs/errors/unknown_currency",
        "title": "Unknown currency",
        "status": 422,
        "code": "unknown_currency",
        "detail": "d",
        "requestId": "id",
        "errors": [{"pointer": "/currency", "code": "unknown_currency", "detail": "must be known"}],
    }
    assert list(plain) == ["type", "title", "status", "code", "detail", "requestId", "errors"]
    helped = json.loads(
        document(Problem("nonce_reused", canonical_string="ten", server_time="now"), "id")
    )
    assert (helped["canonicalString"], helped["serverTime"]) == ("ten", "now")


def test_a_problem_without_detail_says_what_its_code_means() -> None:
    """Nobody is left with a code alone."""
    assert json.loads(document(Problem("overloaded"), ""))["detail"]


@pytest.mark.parametrize("code", CATALOG)
def test_every_code_is_explained(code: str) -> None:
    """A status that can be written, a title, a meaning, and what to do."""
    definition = CATALOG[code]
    assert definition.status in REASONS
    assert definition.status >= 400
    assert re.fullmatch(r"[a-z][a-z0-9_]+", code)
    for text in (definition.meaning, definition.action):
        assert text[0].isupper() or text.startswith("`")
        assert text.endswith(".")
    assert not definition.title.endswith(".")


def test_the_codes_of_the_contract_are_there() -> None:
    """What strangers were promised exists."""
    promised = """
        unknown_key timestamp_outside_window nonce_reused signature_mismatch authentication_failed
        operation_in_progress operation_in_doubt already_succeeded intent_canceled not_authorized
        too_many_charges merchant_reference_in_use use_refund capture_expired
        idempotency_key_reused card_ciphertext_reused raw_card_data_refused card_undecryptable
        card_key_expired amount_out_of_range amount_exceeds_capturable amount_exceeds_refundable
        capture_method_unavailable unknown_currency idempotency_key_required
    """
    assert set(promised.split()) - CATALOG.keys() == set()


def test_every_code_that_is_raised_has_a_page() -> None:
    """Each literal code given to a problem in the sources stands in the catalog."""
    raised: set[str] = set()
    for path in (ROOT / "api").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args:
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                first = node.args[0]
                if name in {"Problem", "Rejection", "_reject", "AuthenticationError"} and (
                    isinstance(first, ast.Constant) and isinstance(first.value, str)
                ):
                    raised.add(first.value)
    assert len(raised) > 20
    assert raised - CATALOG.keys() == set()


def test_the_page_in_the_documents_is_the_catalog() -> None:
    """`python -m api.errors > docs/errors/README.md` was run after the last change."""
    assert (ROOT / "docs" / "errors" / "README.md").read_text(encoding="utf-8") == markdown()

"""The HTTP guide says what is true."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from api.errors import CATALOG
from api.http.parser import HEADER_FIELDS_MAX
from api.json_body import DEPTH_MAX
from api.resources import PaymentIntent, ReducedPaymentIntent, TimelineEvent, Transaction
from api.routes import ROUTES
from chassis.settings import API
from switch.core.operations.charges import PARTIAL_NOT_ACCEPTED, USE_OTHER_CARD
from switch.core.operations.reversals import NOT_CONFIRMED, RETRY_LATER

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
GUIDE = (DOCS / "http-api.md").read_text(encoding="utf-8")
VECTORS = json.loads((DOCS / "vectors" / "signing.json").read_text(encoding="utf-8"))["vectors"]


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_the_code_in_the_guide_signs(vector: dict[str, Any]) -> None:
    """The block is run as it stands, against every vector."""
    (code,) = blocks("python")
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    signature = namespace["sign"](
        vector["secretKey"],
        vector["publishableKey"],
        vector["timestamp"],
        vector["nonce"],
        vector["method"],
        vector["host"],
        vector["target"],
        vector["contentType"],
        vector["idempotencyKey"],
        vector["body"].encode(),
    )
    assert signature == vector["signature"]


def test_the_objects_in_the_guide_are_whole() -> None:
    """Members and their order, as they are answered."""
    samples = [json.loads(block) for block in blocks("json")]
    known = {
        "pi_": [name for name in PaymentIntent.__struct_encode_fields__ if name != "clientSecret"],
        "txn": list(Transaction.__struct_encode_fields__),
        "evt": list(TimelineEvent.__struct_encode_fields__),
    }
    found = {
        sample["id"][:3]: list(sample)
        for sample in samples
        if len(sample.get("id", "")) == 26 or len(sample.get("id", "")) == 25
    }
    assert found == known
    reduced = " ".join(ReducedPaymentIntent.__struct_encode_fields__)
    assert f"`{reduced}`" in GUIDE


def test_every_route_is_in_the_guide() -> None:
    """Nobody has to read the source to find one."""
    for route in ROUTES:
        assert route.path.replace("{code}", "<code>") in GUIDE


def test_the_error_codes_in_the_guide_exist() -> None:
    """What looks like a code behind a status or in the signing section is one."""
    mentioned = set(re.findall(r"\b(?:4\d\d|503) `([a-z_]+)`", GUIDE))
    mentioned |= {"unknown_key", "timestamp_outside_window", "signature_mismatch", "nonce_reused"}
    assert len(mentioned) > 8
    assert mentioned - CATALOG.keys() == set()


def test_every_decline_code_is_in_the_guide_with_its_advice() -> None:
    """The table of the guide is what the switch makes of the networks' response codes."""
    table = ROOT / "switch" / "core" / "response_codes.toml"
    rows = tomllib.loads(table.read_text(encoding="utf-8"))
    declines = [row for row in (rows["default"], *rows["codes"].values()) if "decline" in row]
    known = {(row["decline"], row["advice"]) for row in declines}
    known.add(("network_unavailable", "retry_later"))  # no message left: there is no response code
    # Of what was undone: nobody could say what became of it, or it was not what was asked for.
    known |= {(NOT_CONFIRMED, RETRY_LATER), (PARTIAL_NOT_ACCEPTED, USE_OTHER_CARD)}
    told = {
        (code, advice)
        for codes, advice in re.findall(r"^\| (`.+`) \| `([a-z_]+)` \|$", GUIDE, re.MULTILINE)
        for code in re.findall(r"`([a-z_]+)`", codes)
    }
    assert told == known


def test_the_limits_in_the_guide_are_the_defaults() -> None:
    """The table at the end and the settings agree."""
    limits = API()
    assert f"8 KiB · 16 KiB · {HEADER_FIELDS_MAX}" in GUIDE
    assert (limits.request_line_bytes_max, limits.header_bytes_max) == (8 * 1024, 16 * 1024)
    assert f"{limits.body_bytes_max // 1024} KiB, nested at most {DEPTH_MAX} levels" in GUIDE
    assert f"{limits.head_timeout_s:.0f} s · {limits.body_timeout_s:.0f} s" in GUIDE
    assert f"closed after {limits.idle_timeout_s:.0f} s" in GUIDE
    assert f"| {limits.pipeline_depth_max}; the rest waits" in GUIDE
    assert f"within {limits.request_deadline_s:.0f} s" in GUIDE


def test_links_inside_the_guide_lead_somewhere() -> None:
    """Anchors are headings, files exist."""
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", GUIDE, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)]+)\)", GUIDE):
        if target.startswith("#"):
            assert target[1:] in anchors
        else:
            assert (DOCS / target.partition("#")[0]).exists()

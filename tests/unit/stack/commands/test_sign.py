"""`turnout sign`, which needs no stack."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stack.api_keys import save_credentials
from stack.commands.sign import sign
from stack.credentials import ENVIRONMENT, Credentials

SHOP = Credentials(
    merchant="mer_docs",
    publishable_key="pk_test_docs",
    secret_key="sk_test_docs",
    api_url="http://127.0.0.1:8080",
)
BODY = '{"amountInCents":2499,"currency":"usd"}'


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data directory with the demo shop's credentials and nothing else."""
    save_credentials(tmp_path / "demo-credentials.json", SHOP)
    return tmp_path


def _sign(data_dir: Path, *words: str, **kwargs: str | bytes) -> Result:
    environ = dict.fromkeys(ENVIRONMENT) | {"XDG_CONFIG_HOME": str(data_dir)}
    return CliRunner().invoke(sign, [*words, "--data-dir", str(data_dir)], env=environ, **kwargs)


def test_headers_are_printed_one_a_line(data_dir: Path) -> None:
    """A POST gets an idempotency key of its own."""
    result = _sign(data_dir, "POST", "/payment-intents", "-d", BODY)
    assert result.exit_code == 0
    names = [line.partition(": ")[0] for line in result.stdout.splitlines()]
    assert names == [
        "Authorization",
        "X-Request-Timestamp",
        "X-Request-Nonce",
        "X-Signature",
        "Content-Type",
        "Idempotency-Key",
    ]


def test_two_signatures_share_no_nonce_and_no_key(data_dir: Path) -> None:
    """Each call is a request of its own."""
    first, second = (
        json.loads(_sign(data_dir, "post", "/x", "-d", BODY, "--json").stdout)["headers"]
        for _ in range(2)
    )
    for name in ("X-Request-Nonce", "Idempotency-Key", "X-Signature"):
        assert first[name] != second[name]


def test_a_get_has_no_idempotency_key(data_dir: Path) -> None:
    """Nothing that only reads needs one."""
    document = json.loads(_sign(data_dir, "GET", "/payment-intents", "--json").stdout)
    assert "Idempotency-Key" not in document["headers"]
    assert document["url"] == "http://127.0.0.1:8080/payment-intents"


def test_a_body_comes_from_a_file_unchanged(data_dir: Path) -> None:
    """Not even the line feed at its end is lost."""
    (data_dir / "body.json").write_bytes(b'{"a":1}\r\n')
    words = ("POST", "/x", "-d", f"@{data_dir / 'body.json'}", "--json")
    assert json.loads(_sign(data_dir, *words).stdout)["body"] == '{"a":1}\r\n'


def test_a_body_comes_from_standard_input(data_dir: Path) -> None:
    """`@-` reads what is piped in."""
    result = _sign(data_dir, "POST", "/x", "-d", "@-", "--json", input=b'{"a":2}\n')
    assert json.loads(result.stdout)["body"] == '{"a":2}\n'


@pytest.mark.parametrize(
    ("words", "status", "reason"),
    [
        (("POST", "/x", "-d", "@/nonexistent/body"), 2, "/nonexistent/body"),
        (("BREW", "/x"), 2, "BREW"),
        (("GET", "x"), 2, "target"),
        (("GET", "/x", "--credentials", "/nonexistent/keys"), 3, "/nonexistent/keys"),
        (("GET", "/x", "--set", "nonsense"), 2, "KEY=VALUE"),
        (("GET", "/x", "--set", "api.prot=1"), 3, "api.prot"),
    ],
)
def test_wrong_input_is_named(
    data_dir: Path, words: tuple[str, ...], status: int, reason: str
) -> None:
    """Usage errors exit with 2, missing things with 3; stdout stays empty."""
    result = _sign(data_dir, *words)
    assert result.exit_code == status
    assert reason in result.stderr
    assert result.stdout == ""


def test_without_credentials_it_says_how_to_get_some(tmp_path: Path) -> None:
    """An empty data directory is not an internal error."""
    result = _sign(tmp_path, "GET", "/x")
    assert result.exit_code == 3
    assert "turnout up" in result.stderr

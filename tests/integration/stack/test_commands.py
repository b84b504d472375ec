"""Every command against one running demo, as a user types them.

The module starts one `turnout demo --json` and keeps it serving; its document is the first test,
the commands act on it, and the last test interrupts it as Ctrl-C does.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import attrs
import pytest
from click.testing import CliRunner, Result

from chassis.mac import check_value_text
from tests.support.logs import logging_restored
from tests.support.metrics_page import PAGE, metrics_on_page, row_of
from tests.support.postgres import open_folder
from turnout import main

DEADLINE_S: Final = 90.0  # on a busy machine; alone it takes ten seconds
FIRST_LINE_WITHIN_S: Final = 10.0  # on a busy machine, for a second of processor time
TURNOUT: Final = (sys.executable, "-P", "-m", "turnout")
BODY: Final = '{"amountInCents":1234,"currency":"usd","description":"it\'s by hand"}'


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TURNOUT_")}
    return kept | {"XDG_CONFIG_HOME": "/nonexistent"}


@attrs.frozen
class Demo:
    """A demo that is serving."""

    process: subprocess.Popen[str]
    folder: Path
    document: dict[str, Any]
    first_line_cpu_s: float
    first_line_s: float

    @property
    def data_dir(self) -> Path:
        """Its data directory."""
        return self.folder / "data"

    @property
    def said(self) -> str:
        """What it has printed on stderr, which is everything but the document."""
        return (self.folder / "stderr").read_text()

    def run(self, *words: str) -> Result:
        """Run `turnout WORDS` on its data directory, in this process."""
        environ: dict[str, str | None] = {"XDG_CONFIG_HOME": "/nonexistent"}
        environ |= dict.fromkeys(name for name in os.environ if name.startswith("TURNOUT_"))
        with logging_restored():
            return CliRunner().invoke(main, [*words, "--data-dir", str(self.data_dir)], env=environ)

    def json(self, *words: str) -> Any:
        """The document that a command prints."""
        done = self.run(*words, "--json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    def run_apart(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `turnout WORDS` on its data directory, in a process of its own."""
        return subprocess.run(
            [*TURNOUT, *words, "--data-dir", str(self.data_dir)],
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
            stdin=subprocess.DEVNULL,
            env=_environment(),
        )


def _read_document(process: subprocess.Popen[str], stderr: Path) -> dict[str, Any]:
    """Read stdout until it holds one whole document; the demo then goes on serving."""
    assert process.stdout is not None
    text = b""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if select.select([process.stdout], [], [], 0.1)[0]:
            piece = os.read(process.stdout.fileno(), 65_536)
            assert piece, stderr.read_text()
            text += piece
            try:
                document: dict[str, Any] = json.loads(text)
            except ValueError:
                continue
            return document
    raise AssertionError(stderr.read_text())


def _wait_for(words: str, process: subprocess.Popen[str], stderr: Path) -> None:
    """Wait until a demo has said something."""
    deadline = time.monotonic() + DEADLINE_S
    while words not in (said := stderr.read_text()):
        assert process.poll() is None, said
        assert time.monotonic() < deadline, said
        time.sleep(0.005)


def _cpu_s(process_id: int) -> float:
    """What a process has used of the processors so far (proc_pid_stat(5))."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """A demo on a fresh data directory that goes on serving after its stories."""
    with open_folder() as folder, (folder / "stderr").open("w") as stderr:
        began = time.monotonic()
        process = subprocess.Popen(
            [*TURNOUT, "demo", "--json", "--free-ports", "--data-dir", str(folder / "data")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
            env=_environment(),
        )
        try:
            _wait_for("\n", process, folder / "stderr")
            first_line_cpu_s, first_line_s = _cpu_s(process.pid), time.monotonic() - began
            document = _read_document(process, folder / "stderr")
            _wait_for("turnout sign", process, folder / "stderr")
            yield Demo(process, folder, document, first_line_cpu_s, first_line_s)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(DEADLINE_S)
            assert process.stdout is not None
            process.stdout.close()


def test_every_story_ends_as_it_is_named(demo: Demo) -> None:
    """The document of the contract: every payment with its transactions and their messages."""
    told = {payment["story"]: payment for payment in demo.document["payments"]}
    assert {story: payment["status"] for story, payment in told.items()} == {
        "approved": "succeeded",
        "declined": "failed",
        "late": "succeeded",
        "verified": "succeeded",
        "reversed": "failed",
        "captured": "succeeded",
        "refunded": "succeeded",
    }
    messages = {}
    for story, payment in told.items():
        assert set(payment) == {"story", "intent", "status", "transactions"}
        for transaction in payment["transactions"]:
            assert set(transaction) == {"id", "type", "status", "attempts"}
            for attempt in transaction["attempts"]:
                assert (len(attempt["stan"]), len(attempt["rrn"])) == (6, 12)
        messages[story] = [
            (transaction["type"], transaction["status"], attempt["mti"], attempt["outcome"])
            for transaction in payment["transactions"]
            for attempt in transaction["attempts"]
        ]
    assert messages["approved"] == [("charge", "succeeded", "0200", "approved")]
    assert messages["declined"] == [("charge", "failed", "0200", "declined")]
    assert messages["late"] == [("charge", "succeeded", "0200", "approved")]
    charge = ("charge", "succeeded", "0200", "approved")
    first, *inquiries = messages["verified"]
    assert first == charge
    assert inquiries[-1] == ("charge", "succeeded", "0600", "approved")
    assert messages["reversed"][0] == ("charge", "reversed", "0200", "reversed")
    assert ("charge", "reversed", "0420", "approved") in messages["reversed"]
    assert messages["captured"] == [
        ("charge", "succeeded", "0100", "approved"),
        ("capture", "succeeded", "0220", "approved"),
        ("capture", "succeeded", "0420", "approved"),
    ]
    assert messages["refunded"] == [charge, ("refund", "succeeded", "0200", "approved")]


def test_the_first_line_comes_within_a_second(demo: Demo) -> None:
    """It is said before anything slow is imported, and waits for nothing.

    Others on the machine do not count as work, and may not make it late without end.
    """
    assert demo.first_line_cpu_s < 1.0
    assert demo.first_line_s < FIRST_LINE_WITHIN_S


def test_the_stories_are_told_with_their_messages(demo: Demo) -> None:
    """Timelines, masked fields of both messages, the networks' own word; nothing of a card."""
    said = demo.said
    assert "is inquired about for 3 s and then reversed (`turnout up`: 30 s)" in said
    attempts = [
        (payment["intent"], attempt)
        for payment in demo.document["payments"]
        for transaction in payment["transactions"]
        for attempt in transaction["attempts"]
    ]
    for intent, attempt in attempts:
        assert intent in said
        assert f"STAN {attempt['stan']}, RRN {attempt['rrn']}" in said
    decided = [attempt for _, attempt in attempts if attempt["mti"] != "0600"]
    assert said.count("'s own journal: decided") == len(decided)
    assert "answered 2750 ms later" in said
    assert said.count("never answered") == 2
    assert said.count("ended as told: ") == len(demo.document["payments"])
    assert "[hidden]" in said
    stories, _, box = said.partition("─ turnout ─")
    assert not re.search(r"\b[2-6]\d{12,18}\b", stories)
    assert "4242424242424242" in box


def test_the_curl_in_the_box_works_once(demo: Demo) -> None:
    """Pasted into a shell it creates an intent; pasted again it is a replay of the same nonce."""
    command = re.search(r"^curl .*?(?<!\\)$", demo.said, re.DOTALL | re.MULTILINE)
    assert command is not None
    answers = [
        json.loads(subprocess.check_output(["sh", "-c", command[0]], text=True)) for _ in range(2)
    ]
    assert answers[0]["amountInCents"] == 1234
    assert answers[1]["code"] == "nonce_reused"


def test_credentials_are_the_owners_alone(demo: Demo) -> None:
    """Mode 0600, the four members, the URL where the API listens."""
    path = demo.data_dir / "demo-credentials.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    credentials = json.loads(path.read_text())
    assert set(credentials) == {"merchant", "publishableKey", "secretKey", "apiUrl"}
    endpoints = json.loads((demo.data_dir / "run" / "endpoints.json").read_text())
    assert credentials["apiUrl"] == endpoints["api"]["url"]
    assert credentials["secretKey"] not in demo.said


def test_a_second_demo_on_the_same_data_is_refused(demo: Demo) -> None:
    """Exit status 3, the reason and the way out; nothing on stdout."""
    done = demo.run_apart("demo", "--exit", "--json", "--free-ports")
    assert (done.returncode, done.stdout) == (3, "")
    assert f"another stack (process {demo.process.pid}) runs on {demo.data_dir}" in done.stderr
    assert "--data-dir" in done.stderr


def test_a_payment_is_approved(demo: Demo) -> None:
    """A timeline on stdout, exit status 0."""
    done = demo.run_apart(
        "pay", "--amount", "500", "--currency", "JPY", "--card", "5555 5555 5555 4444"
    )
    assert done.returncode == 0
    assert "500 JPY  succeeded" in done.stdout
    assert "0100 to msim" in done.stdout
    assert "completion started    0220 to msim" in done.stdout
    assert done.stderr == ""


def test_an_amount_is_only_held(demo: Demo) -> None:
    """With a card of the network that can; one of the other is refused, and that is a fault."""
    done = demo.run("pay", "--manual")
    assert done.exit_code == 0, done.output
    assert "24.99 USD  authorized" in done.stdout
    assert re.search(r"24\.99 USD can be captured until \d{4}-\d\d-\d\d", done.stdout)
    document = demo.json("pay", "--manual", "--partial")
    assert (document["status"], document["amount_capturable"]) == ("authorized", 2499)
    refused = demo.run("pay", "--manual", "--card", "4242424242424242")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "capture_method_unavailable" in refused.stderr


def test_a_declined_payment_is_a_fault(demo: Demo) -> None:
    """Exit status 1, with the reason for the merchant."""
    done = demo.run("pay", "--card", "4000000000009995", "--json")
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    assert (document["status"], document["decline_code"]) == ("failed", "insufficient_funds")
    assert document["advice"] == "retry_later"


def test_payments_without_a_timely_answer_are_no_faults(demo: Demo) -> None:
    """Pending exits with 0, waiting in vain with 1, waiting for a late approval with 0."""
    silent, late = ("pay", "--card", "4000000000007809"), ("pay", "--card", "4000000000008807")
    with ThreadPoolExecutor() as at_once:
        commands = (
            (*silent, "--json"),
            (*silent, "--wait", "--wait-timeout", "0.2"),
            (*late, "--wait", "--json"),
        )
        pending, undecided, adopted = at_once.map(lambda words: demo.run_apart(*words), commands)
    assert [done.returncode for done in (pending, undecided, adopted)] == [0, 1, 0]
    assert json.loads(pending.stdout)["status"] == "pending_verification"
    assert "still pending_verification" in undecided.stderr
    assert "the outcome is unknown" in undecided.stdout
    document = json.loads(adopted.stdout)
    assert document["status"] == "succeeded"
    assert [event["type"].partition(".")[2] for event in document["timeline"]] == [
        "created",
        "processing",
        "pending_verification",
        "succeeded",
    ]


def _series(demo: Demo) -> dict[str, set[str]]:
    """Every series of every process: names with their labels, without the numbers."""
    endpoints = json.loads((demo.data_dir / "run" / "endpoints.json").read_text())
    found = {}
    for key, url in endpoints["metrics"].items():
        with urllib.request.urlopen(url, timeout=5) as page:
            lines = page.read().decode().splitlines()
        found[key] = {line.rpartition(" ")[0] for line in lines if not line.startswith("#")}
    return found


def test_metrics_are_named_as_promised_and_do_not_grow(demo: Demo) -> None:
    """Names end in their unit, labels hold no ids, and payments add no series."""
    before = _series(demo)
    processes = {
        "api",
        "switch-0",
        "hsm-0",
        "vsim",
        "msim",
        "relay",
        "audit",
        "witness",
        "postings",
        "webhooks",
        "shop",
    }
    assert before.keys() == processes
    for key, series in before.items():
        name = f"turnout_{key.partition('-')[0]}_[a-z0-9_]+_(seconds|bytes|total|ratio)"
        suffix = r"(_bucket|_sum|_count)?"
        label = r'[a-z_]+="(\+Inf|[0-9.]+|[A-Za-z0-9_ ]{1,32})"'
        form = re.compile(rf"{name}{suffix}(\{{{label}(,{label})*\}})?")
        assert [each for each in series if not form.fullmatch(each)] == []
    assert sum(map(len, before.values())) <= 2_000
    for card in ("4242424242424242", "5555555555554444", "4000000000000002", "4000000000009987"):
        demo.run("pay", "--card", card)
    assert _series(demo) == before


def test_a_signed_curl_reaches_the_api(demo: Demo) -> None:
    """What sign prints is accepted as it is, quotes in the body and all."""
    done = demo.run("sign", "POST", "/payment-intents", "-d", BODY, "--curl")
    created = json.loads(subprocess.check_output(["sh", "-c", done.stdout], text=True))
    assert created["description"] == "it's by hand"
    done = demo.run("sign", "GET", f"/payment-intents/{created['id']}", "--curl")
    read = json.loads(subprocess.check_output(["sh", "-c", done.stdout], text=True))
    assert read["id"] == created["id"]


def test_a_merchants_origins_are_replaced_whole(demo: Demo) -> None:
    """At its creation and later; one that is none changes nothing, and none at all is allowed."""
    arguments = ["merchants", "create", "--name", "Shop", "--origin", "https://a.example"]
    merchant = demo.json(*arguments, "--origin", "http://localhost:3000")["merchant"]
    listed = ["https://a.example", "http://localhost:3000"]
    assert demo.json("merchants", "origins", "list", merchant)["browser_origins"] == listed
    bad = demo.run("merchants", "origins", "set", merchant, "https://b.example", "https://*")
    assert (bad.exit_code, bad.stdout) == (2, "")
    assert "an origin must be" in bad.stderr
    assert demo.run(*arguments, "--origin", "shop.example").exit_code == 2
    shown = demo.json("merchants", "show", merchant)
    assert shown["browser_origins"] == listed
    document = demo.json("merchants", "origins", "set", merchant, "https://b.example")
    assert document == {"merchant": merchant, "browser_origins": ["https://b.example"]}
    assert demo.json("merchants", "origins", "set", merchant)["browser_origins"] == []
    assert "none" in demo.run("merchants", "origins", "list", merchant).stdout


def test_the_demo_shop_serves_and_opens_orders(demo: Demo) -> None:
    """Where endpoints.json says, which is where its merchant's card fields may appear."""
    endpoints = json.loads((demo.data_dir / "run" / "endpoints.json").read_text())
    merchant = json.loads((demo.data_dir / "demo-credentials.json").read_text())["merchant"]
    shop = endpoints["shop"]
    with urllib.request.urlopen(shop, timeout=DEADLINE_S) as page:
        assert endpoints["api"]["url"] in page.headers["Content-Security-Policy"]
    order = urllib.request.Request(
        f"{shop}/orders", b'{"good":"signal"}', {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(order, timeout=DEADLINE_S) as opened:
        document = json.load(opened)
    assert (document["status"], document["amountInCents"]) == ("created", 1875)
    assert document["clientSecret"].startswith(document["order"])
    assert shop in demo.json("merchants", "origins", "list", merchant)["browser_origins"]


def test_a_merchant_lives_through_its_keys(demo: Demo) -> None:
    """Created, paying, rolled with both keys active, a third refused, the old one revoked."""
    saved = demo.folder / "shop.json"
    done = demo.run("merchants", "create", "--name", "Zoë's", "--save", str(saved), "--json")
    assert done.exit_code == 0, done.output
    assert done.stderr.splitlines() == [
        "The secret key is shown this once; keep it where only your server reads."
    ]
    first = json.loads(done.stdout)
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    assert demo.run("pay", "--credentials", str(saved)).exit_code == 0
    shown = demo.json("merchants", "show", first["merchant"])
    assert (shown["name"], shown["name_location"]) == ("Zoë's", "ZOE'S")
    assert first["secret_key"] not in json.dumps(shown)

    second = demo.json("merchants", "roll", first["merchant"])
    keys = demo.json("merchants", "show", first["merchant"])["keys"]
    assert {key["publishable_key"]: key["status"] for key in keys} == {
        first["publishable_key"]: "active",
        second["publishable_key"]: "active",
    }
    third = demo.run("merchants", "roll", first["merchant"])
    assert (third.exit_code, third.stdout) == (1, "")
    assert "revoke the old one" in third.stderr

    revoked = demo.json("merchants", "revoke", first["publishable_key"])
    assert revoked == {"publishable_key": first["publishable_key"], "status": "revoked"}
    again = demo.run("merchants", "revoke", first["publishable_key"])
    assert (again.exit_code, again.stdout) == (1, "")
    listed = demo.json("merchants", "list")["merchants"]
    assert [merchant["name"] for merchant in listed] == ["Demo shop", "Shop", "Zoë's"]


def test_every_metric_is_on_its_page(demo: Demo) -> None:
    """And what the page tells of a plain stack, a plain stack has."""
    page = metrics_on_page(PAGE.read_text())
    urls = json.loads((demo.data_dir / "run" / "endpoints.json").read_text())["metrics"]
    shown = set()
    for url in urls.values():
        with urllib.request.urlopen(url, timeout=10) as answer:
            text = answer.read().decode()
        shown |= set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))
    assert len(shown) > 200
    rows = {series: row_of(series, page, frozenset({"vsim", "msim"})) for series in sorted(shown)}
    assert [series for series, row in rows.items() if row is None] == []
    assert {name for name, plain in page.items() if plain} - set(rows.values()) == set()


def test_ctrl_c_at_a_payment_tells_which_one(demo: Demo) -> None:
    """It may have been charged: its id is told, and how to look it up."""
    words = ["pay", "--card", "4000000000007809", "--wait", "--data-dir", str(demo.data_dir)]
    known = len(_charged(demo))
    with subprocess.Popen(
        [*TURNOUT, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_environment(),
    ) as paying:
        deadline = time.monotonic() + DEADLINE_S
        while len(_charged(demo)) == known:
            assert time.monotonic() < deadline
        paying.send_signal(signal.SIGINT)
        printed, said = paying.communicate(timeout=DEADLINE_S)
    assert (paying.returncode, printed) == (130, "")
    assert f"turnout pay: {_charged(demo)[-1]} was begun; to see what became of it: " in said


def _charged(demo: Demo) -> list[str]:
    """The payments of the stream that somebody has begun to charge, oldest first."""
    lines = demo.run("stream", "tail", "--json", "--from", "0").stdout.splitlines()
    events = [event for event in map(json.loads, lines) if event["table"] == "transactions"]
    return list(dict.fromkeys(event["payment_intent"] for event in events))


def test_the_hsm_shows_its_keys_and_takes_one_in(demo: Demo) -> None:
    """Development keys at first; then one of two components, of which no digit is shown."""
    listed = demo.json("hsm", "keys")
    assert [key["state"] for key in listed["capture"]] == ["active", "active"]
    keks = {key["network"]: key for key in listed["networks"] if key["usage"] == "kek"}
    assert {name: key["origin"] for name, key in keks.items()} == {
        "msim": "development",
        "vsim": "development",
    }
    parts = [bytes(range(32)), b"\x5a" * 32]
    files = [demo.folder / f"component-{number}" for number in (1, 2)]
    for part, file in zip(parts, files, strict=True):
        file.write_text(f"{part[:16].hex()}\n{part[16:].hex()}\n{check_value_text(part)}\n")
        file.chmod(0o600)
    words = [word for file in files for word in ("--component", str(file))]
    wrong = demo.run("hsm", "load-kek", "msim", *words, "--check-value", "000000")
    assert (wrong.exit_code, wrong.stdout) == (1, "")
    assert "another check value" in wrong.stderr
    assert demo.json("hsm", "keys") == listed

    loaded = demo.json("hsm", "load-kek", "msim", *words)
    whole = bytes(a ^ b for a, b in zip(*parts, strict=True))
    assert loaded["check_value"] == check_value_text(whole)
    done = demo.run("hsm", "keys")
    assert f"msim      kek        current   {loaded['check_value']}  components" in done.stdout
    assert not any(key.hex()[:16] in done.output for key in (*parts, whole))


def test_the_relay_streams_and_waits_for_nobody(demo: Demo) -> None:
    """Its state and its slot can be seen; a repair that nobody asked for is refused."""
    shown = demo.json("relay", "status")
    assert (shown["state"], shown["running"]) == ("streaming", True)
    assert shown["server"]["wal_status"] == "reserved"
    assert shown["server"]["pinned_ratio"] < 0.5
    assert "relay turnout_relay_0" in demo.run("relay", "status").output
    refused = demo.run("relay", "repair", "--note", "just in case")
    assert refused.exit_code == 1
    assert "does not wait for an operator" in refused.output


def test_ctrl_c_ends_it_well(demo: Demo) -> None:
    """The first interrupt drains and exits 0; nothing is left to connect to."""
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(DEADLINE_S) == 0
    assert not (demo.data_dir / "run" / "endpoints.json").exists()
    done = demo.run("pay")
    assert (done.exit_code, done.stdout) == (3, "")
    assert "no stack runs" in done.stderr

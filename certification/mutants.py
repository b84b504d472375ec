"""Mutants: one line of the switch broken at a time, and the case that must catch it.

    python -m certification.mutants [--only IDS] [--json]

Each mutant is a copy of the whole tree with one replacement, certified by the case that its line in
`mutants.toml` names. It is caught if that case fails there and passes in the unbroken tree, which
is certified first. A mutant that nobody catches is a rule that nothing holds.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any, Final

import click
import msgspec

ROOT: Final = Path(__file__).parents[1]
SEED: Final = 1
AT_ONCE: Final = 2  # a certification is a whole stack
COPIED: Final = (
    "api",
    "certification",
    "chassis",
    "clients",
    "hsm_sim",
    "ledger",
    "network_sim",
    "stack",
    "switch",
    "turnout.py",
)
TIMEOUT_S: Final = 600.0


class MutantError(ValueError):
    """A line of the table does not fit the source; names both."""


class Mutant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One fault."""

    what: str
    file: str
    old: str
    new: str
    case: str

    def apply(self, root: Path) -> None:
        """Break a tree.

        Raises:
            MutantError: the text to replace does not stand there exactly once.
        """
        path = root / self.file
        text = path.read_text("utf-8")
        if text.count(self.old) != 1:
            raise MutantError(f"{self.file}: {self.what}: found {text.count(self.old)} times")
        path.write_text(text.replace(self.old, self.new), "utf-8")


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    mutants: tuple[Mutant, ...]


def load_mutants() -> tuple[Mutant, ...]:
    """The table."""
    text = resources.files(__package__).joinpath("mutants.toml").read_text("utf-8")
    return msgspec.toml.decode(text, type=_Table).mutants


@contextmanager
def copied_tree() -> Iterator[Path]:
    """A copy of everything that runs, to be broken."""
    folder = Path(tempfile.mkdtemp(prefix="turnout-mutant-"))
    folder.chmod(0o755)  # the stack's processes run as other users and import from here
    try:
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                ignore = shutil.ignore_patterns("__pycache__", "node_modules")
                shutil.copytree(source, folder / name, ignore=ignore)
            else:
                shutil.copy2(source, folder / name)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def certify_tree(root: Path, cases: Sequence[str]) -> dict[str, str]:
    """Certify a tree by some cases; their results, or why there are none."""
    command = [sys.executable, "-P", "-m", "turnout", "certify", "--json"]
    command += ["--only", ",".join(sorted(set(cases))), "--seed", str(SEED)]
    paths = os.pathsep.join((str(root), str(root / "clients" / "python")))
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            cwd=root,
            env=os.environ | {"PYTHONPATH": paths},
        )
    except subprocess.TimeoutExpired:
        return dict.fromkeys(cases, "failed: it did not end")
    try:
        document = json.loads(done.stdout)
    except json.JSONDecodeError:
        return dict.fromkeys(cases, f"failed: exit status {done.returncode}")
    return {case["id"]: _told(case["result"], case["evidence"]) for case in document["cases"]}


def _told(result: str, evidence: Sequence[str]) -> str:
    reasons = [line.removeprefix("✗ ") for line in evidence if line.startswith("✗")]
    return f"{result}: {reasons[0][:200]}" if reasons else result


def try_mutant(mutant: Mutant, healthy: dict[str, str]) -> dict[str, Any]:
    """Certify one mutant by its case."""
    with copied_tree() as root:
        mutant.apply(root)
        seen = certify_tree(root, [mutant.case])[mutant.case]
    before = healthy.get(mutant.case, "absent")
    return {
        **msgspec.to_builtins(mutant),
        "healthy": before,
        "mutant": seen,
        "caught": before == "passed" and seen.startswith("failed"),
    }


@click.command()
@click.option("--only", metavar="IDS", help="Mutants of these cases, such as RV01,MT03.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def main(*, only: str | None, as_json: bool) -> None:
    """Try every mutant; exit status 1 where one is not caught."""
    wanted = set((only or "").split(",")) - {""}
    mutants = [each for each in load_mutants() if not wanted or each.case in wanted]
    click.echo(f"{len(mutants)} mutants; the unbroken tree first", err=True)
    with copied_tree() as root:
        healthy = certify_tree(root, [mutant.case for mutant in mutants])
    rows = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for row in pool.map(lambda mutant: try_mutant(mutant, healthy), mutants):
            rows.append(row)
            verdict = "caught" if row["caught"] else "NOT CAUGHT"
            click.echo(f"{verdict:10} {row['case']:6} {row['what']}", err=True)
    caught = sum(row["caught"] for row in rows)
    if as_json:
        document = {"mutants": rows, "caught": caught, "not_caught": len(rows) - caught}
        click.echo(json.dumps(document, indent=1, ensure_ascii=False))
    sys.exit(0 if caught == len(rows) else 1)


if __name__ == "__main__":
    main()

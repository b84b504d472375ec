"""Which migrations to apply, decided without a database."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.errors import MigrationError
from ledger.migrate import Migration, load_migrations, plan

ONE = Migration(1, "one", "CREATE TABLE a ()")
TWO = Migration(2, "two", "CREATE TABLE b ()")


def applied(*migrations: Migration) -> list[tuple[int, str, bytes]]:
    """The records that these migrations leave."""
    return [(step.version, step.name, step.checksum) for step in migrations]


def test_an_empty_database_gets_everything() -> None:
    """Nothing recorded, all to do."""
    assert plan([ONE, TWO], []) == [ONE, TWO]


def test_only_the_missing_tail_is_applied() -> None:
    """What is recorded and unchanged is left alone."""
    assert plan([ONE, TWO], applied(ONE)) == [TWO]
    assert plan([ONE, TWO], applied(ONE, TWO)) == []


def test_an_edited_migration_is_refused() -> None:
    """One changed byte, or a new name, is another migration."""
    edited = Migration(1, "one", "CREATE TABLE a (id int)")
    renamed = Migration(1, "uno", ONE.sql)
    with pytest.raises(MigrationError, match="0001_one was edited"):
        plan([edited, TWO], applied(ONE))
    with pytest.raises(MigrationError, match=r"0001_uno was edited.*as 0001_one"):
        plan([renamed], applied(ONE))


def test_a_newer_database_is_refused() -> None:
    """An older release must not run on what it does not know."""
    with pytest.raises(MigrationError, match="0002_two, which this release does not know"):
        plan([ONE], applied(ONE, TWO))


def test_a_gap_in_the_database_is_refused() -> None:
    """A later migration without the earlier one means that somebody edited the record."""
    with pytest.raises(MigrationError, match="0001_one is missing"):
        plan([ONE, TWO], applied(TWO))


def test_files_become_migrations_in_order(tmp_path: Path) -> None:
    """Number and name come from the file's name; other files are ignored."""
    (tmp_path / "0002_two.sql").write_text(TWO.sql)
    (tmp_path / "0001_one.sql").write_text(ONE.sql)
    (tmp_path / "README.md").write_text("words")
    assert load_migrations(tmp_path) == [ONE, TWO]


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["1_one.sql"], "1_one.sql is not named"),
        (["0001_One.sql"], "0001_One.sql is not named"),
        (["0002_two.sql"], "0002_two stands where number 0001"),
        (["0001_a.sql", "0001_b.sql"], "0001_b stands where number 0002"),
    ],
)
def test_misnamed_files_are_refused(tmp_path: Path, names: list[str], reason: str) -> None:
    """A gap, a repeated number or a stray name stops before anything is applied."""
    for name in names:
        (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(MigrationError, match=reason):
        load_migrations(tmp_path)


def test_the_product_migrations_load() -> None:
    """The product's own chain is named and numbered as it should be."""
    assert load_migrations()[0].version == 1

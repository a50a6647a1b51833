"""The migration files themselves; applying them is tested against a real PostgreSQL."""

from storage.catalog.migrate import Migration, load_migrations


def test_migrations_are_numbered_from_one_without_gaps() -> None:
    migrations = load_migrations()
    assert [migration.version for migration in migrations] == list(range(1, len(migrations) + 1))


def test_the_checksum_follows_the_text() -> None:
    assert Migration(1, "a", "SELECT 1").checksum != Migration(1, "a", "SELECT 2").checksum
    assert Migration(1, "a", "SELECT 1").checksum == Migration(2, "b", "SELECT 1").checksum

"""Errors of the driver become ours; values become JSON that jsonb can hold."""

from typing import TYPE_CHECKING, cast

import asyncpg
import pytest

from storage.catalog import Catalog
from storage.catalog.connection import LeaseLost, encode_json, translated
from storage.catalog.connections import Connections
from storage.errors import AlreadyPublished, CatalogUnreachable, StaleEpoch, StorageError, StorageMisused

if TYPE_CHECKING:
    from storage.catalog.connections import Pool


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (ConnectionRefusedError("refused"), CatalogUnreachable),
        (TimeoutError(), CatalogUnreachable),
        (asyncpg.ConnectionDoesNotExistError("gone"), CatalogUnreachable),
        (asyncpg.AdminShutdownError("restarting"), CatalogUnreachable),
        (asyncpg.CannotConnectNowError("starting up"), CatalogUnreachable),
        (asyncpg.TooManyConnectionsError("full"), CatalogUnreachable),
        (asyncpg.DeadlockDetectedError("deadlock"), CatalogUnreachable),
        (asyncpg.DiskFullError("full"), CatalogUnreachable),
        (asyncpg.ReadOnlySQLTransactionError("standby"), CatalogUnreachable),
        (asyncpg.InterfaceError("connection is closed"), CatalogUnreachable),
        (asyncpg.InternalClientError("no primary"), CatalogUnreachable),
        (asyncpg.UndefinedTableError("no such table"), StorageMisused),
    ],
)
def test_driver_errors_are_translated(raised: Exception, expected: type[StorageError]) -> None:
    with pytest.raises(expected), translated():
        raise raised


def test_a_violated_constraint_is_explained_in_our_words() -> None:
    error = asyncpg.UniqueViolationError("duplicate key value violates unique constraint")
    error.constraint_name = "segments_pkey"
    with pytest.raises(StorageMisused, match="segment id is already used"), translated():
        raise error


@pytest.mark.parametrize(("code", "expected"), [("TD001", LeaseLost), ("TD002", AlreadyPublished)])
def test_what_our_functions_raise_has_a_meaning(code: str, expected: type[StorageError]) -> None:
    raised = type("Raised", (asyncpg.PostgresError,), {"sqlstate": code})
    with pytest.raises(expected), translated():
        raise raised("by a function")


def test_our_own_errors_pass_unchanged() -> None:
    with pytest.raises(StaleEpoch), translated():
        raise StaleEpoch("frontend", 3)


def test_json_of_ordinary_values() -> None:
    assert encode_json({"a": (1, "b")}) == '{"a":[1,"b"]}'


@pytest.mark.parametrize("strange", ["\0", "\udcff", {"k\0": ["\udcff"]}])
def test_json_of_strange_text_holds_neither_nul_nor_surrogates(strange: object) -> None:
    encoded = encode_json([strange])
    assert "\\u0000" not in encoded
    encoded.encode("utf-8")


@pytest.mark.parametrize(
    "raised",
    [TimeoutError(), ConnectionResetError(), asyncpg.ConnectionDoesNotExistError(), asyncpg.InterfaceError("busy")],
)
async def test_a_server_that_ends_at_the_same_moment_does_not_keep_a_catalog_from_closing(raised: Exception) -> None:
    pool = EndingPool(raised)
    await Catalog(Connections(cast("Pool", pool)), "", timeout_s=1.0).close()
    assert pool.terminated


class EndingPool:
    """The driver's pool, whose server goes away while it says goodbye."""

    def __init__(self, raised: Exception) -> None:
        self._raised = raised
        self.terminated = False

    async def close(self) -> None:
        raise self._raised

    def terminate(self) -> None:
        self.terminated = True

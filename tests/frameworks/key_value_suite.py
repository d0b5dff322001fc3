"""py-key-value's tests of a store, on the adapter: `make test-key-value CHECKOUT=path`.

They are not in its source distribution. Here `tests` is the package of its repository.
"""

from pathlib import Path

import pytest
from aiokv import AioKV
from aiokv.ext.key_value import AioKVStore
from tests.stores.base import (  # type: ignore[import-not-found]
    BaseStoreTests,
    ContextManagerStoreTestMixin,
)


class TestAioKVStore(ContextManagerStoreTestMixin, BaseStoreTests):  # type: ignore[misc]
    @pytest.fixture
    async def store(self, per_test_temp_dir: Path) -> AioKVStore:
        return AioKVStore(AioKV(per_test_temp_dir / "state.json"))

    @pytest.mark.skip(reason="a store keeps what it is given")
    async def test_not_unbounded(self, store: AioKVStore) -> None:
        pass

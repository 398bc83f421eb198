"""What the tests of adapters share: the biller beside its other side, judged at the end by the journal."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

# Its asserts are read by people, too.
pytest.register_assert_rewrite("tests.carriers.conformance")

from tests.carriers.benches import BENCHES  # noqa: E402 - Only what is imported behind the line above is rewritten.


@pytest.fixture
async def bench(biller: str) -> AsyncIterator[Any]:  # Any: as the sheet that *biller* names.
    """Whatever a test did, at its end no attempt was charged twice and no more was taken than was held."""
    async with BENCHES[biller]() as bench:
        yield bench
        await bench.quiet()
        assert all(times == 1 for times in bench.charges().values()), "an attempt was charged twice"
        held: dict[str, Decimal] = {}
        ended: dict[str, Decimal] = {}
        for what, attempt_id, amount in bench.moved():
            if what == "held":
                assert attempt_id not in held, "reserved twice"
                held[attempt_id] = amount
                continue
            assert what != "captured" or attempt_id not in ended, "captured twice, or after it was let go"
            ended[attempt_id] = ended.get(attempt_id, Decimal(0)) + amount
            assert ended[attempt_id] <= held[attempt_id], "more than was held"

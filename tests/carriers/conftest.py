"""What the tests of adapters share."""

import pytest

# Its asserts are read by people, too.
pytest.register_assert_rewrite(
    *(f"tests.carriers.{name}" for name in ("conformance", "async_conformance", "keyless_conformance"))
)

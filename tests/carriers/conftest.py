"""What the tests of adapters share."""

import pytest

# Its asserts are read by people, too.
pytest.register_assert_rewrite("tests.carriers.conformance", "tests.carriers.keyless_conformance")

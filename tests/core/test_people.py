"""Two persons are two, however their names are typed."""

import pytest

from gateway.core.people import is_same_person


@pytest.mark.parametrize("typed", ["asha", "Asha ", "ASHA", "\tasha\n", "ａｓｈａ"])
def test_a_name_typed_in_another_way_is_the_same_person(typed: str) -> None:
    assert is_same_person("Asha", typed)


@pytest.mark.parametrize(("one", "other"), [("asha", "aisha"), ("asha k", "ashak"), ("", "asha")])
def test_another_name_is_another_person(one: str, other: str) -> None:
    assert not is_same_person(one, other)


def test_spaces_within_a_name_count_once() -> None:
    assert is_same_person("Asha  K", " asha k")

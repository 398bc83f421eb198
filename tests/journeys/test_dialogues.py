"""Every dialogue by SMS, in every language that we write: what the handset truly got, word for word.

The catalogues say what the text is; here a phone gets it, over SMPP or through Twilio, by doing what leads to it.
"""

from pathlib import Path

import pytest

from gateway.core.asks import KEYS
from tests.cli.commands import Here
from tests.journeys.sms_walks import PARTS, ROOMS, walk
from tests.journeys.talks import a_room

pytestmark = [pytest.mark.journey, pytest.mark.money]

STOPS = {"stopped", "started", "stopped_shop", "started_shop"}


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    return Here(monkeypatch, capsys)


@pytest.mark.parametrize("name", ROOMS)
async def test_every_dialogue_in_every_language_by_smpp(
    database_url: str, tmp_path: Path, here: Here, name: str
) -> None:
    plan = ROOMS[name]
    async with a_room(database_url, tmp_path, "smpp", here, **plan.settings) as room:
        await walk(room, plan)
        assert room.missing(plan.wanted) == {}


@pytest.mark.parametrize("name", ROOMS)
async def test_every_dialogue_in_every_language_through_twilio(
    sqlite_url: str, tmp_path: Path, here: Here, name: str
) -> None:
    plan = ROOMS[name]
    async with a_room(sqlite_url, tmp_path, "twilio", here, **plan.settings) as room:
        await walk(room, plan)
        # Twilio answers these itself where they are said in its own words.
        assert room.missing(plan.wanted) in ({}, {"en": STOPS})


def test_no_text_is_left_that_no_phone_reads() -> None:
    wanted = [template for plan in ROOMS.values() for template in plan.wanted]
    assert sorted(wanted) == sorted(KEYS.keys() - PARTS)

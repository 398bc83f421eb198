"""The key of the codes is rotated over a restart while payments wait: codes at phones stay good, new ones are new."""

import pytest

from gateway.app import Gateway
from gateway.config import Secrets
from gateway.core.codes import derive_code, key_id
from tests.journeys.evidence import CODE_KEY, ROTATED_CODE_KEY
from tests.journeys.house import House, a_number

pytestmark = [pytest.mark.journey, pytest.mark.money]


async def started_with(home: House, secrets: Secrets) -> None:
    await home.stop()
    gateway = Gateway(home.gateway.config, secrets, clock=home.gateway.clock)
    await gateway.start()
    home.gateway, home.is_serving = gateway, True
    home.shop.moved_to(gateway.url)


async def test_a_code_from_before_the_rotation_still_pays(home: House) -> None:
    slow, fresh = a_number("006"), a_number("006")
    before = await home.shop.ask(slow)
    code = await home.code_in(slow)
    await started_with(home, Secrets(code_key=ROTATED_CODE_KEY, former_code_keys=(CODE_KEY,)))
    after = await home.shop.ask(fresh)
    assert await home.code_in(fresh) in {derive_code(ROTATED_CODE_KEY, after["id"], n, 4) for n in range(3)}
    home.text(slow, code)
    home.world.handsets.answer_now(fresh)
    assert (await home.shop.until_final(before["id"]))["status"] == "succeeded"
    assert (await home.shop.until_final(after["id"]))["status"] == "succeeded"
    kept = {row.id: row.code_key for row in home.evidence.rows("SELECT id, code_key FROM payment")}
    assert kept == {before["id"]: key_id(CODE_KEY), after["id"]: key_id(ROTATED_CODE_KEY)}

"""What happens between two steps of the dialogues by USSD: at the shop, the carrier, the operator, in the network."""

from collections.abc import Mapping
from typing import Any, Final
from zoneinfo import ZoneInfo

from gateway.consumer.limits import LimitByCare
from gateway.core.dispute import Act
from gateway.core.money import Money
from gateway.engine.dispute_jobs import DecideDispute
from gateway.store.rows import Phone
from simulators.faults import Fault
from tests.journeys.house import WAIT_S, Shop
from tests.journeys.processes import until
from tests.journeys.ussd_walks import Deed, Dialler

Body = Mapping[str, object]


async def posted(shop: Shop, path: str, body: Body | None = None) -> Any:  # Any: JSON of the API.
    answer = await shop.call("POST", path, body)
    assert answer.status in (200, 201, 202), answer.body
    return answer.body


def is_asked(**changes: object) -> Deed:
    async def done(dialler: Dialler) -> None:
        await dialler.is_asked(**changes)

    return done


def waits_for(**fields: object) -> Deed:
    """Until the last payment is shown to its shop with these *fields*."""

    async def done(dialler: Dialler) -> None:
        await dialler.home.shop.until(
            dialler.asked[-1]["id"], lambda payment: all(payment[name] == value for name, value in fields.items())
        )

    return done


def carrier(**faults: str) -> Deed:
    """What is wrong from now on with what the carrier does for this phone, by its point; "": nothing."""

    async def done(dialler: Dialler) -> None:
        for point, fault in faults.items():
            found = Fault(name=fault) if fault else None
            dialler.home.world.plan.set_for_number(dialler.phone, point.replace("_", ".", 1), found)

    return done


async def shop_cancels(dialler: Dialler) -> None:
    await posted(dialler.home.shop, f"/v1/payments/{dialler.asked[-1]['id']}/cancel")


async def shop_refunds(dialler: Dialler) -> None:
    await posted(dialler.home.shop, f"/v1/payments/{dialler.asked[-1]['id']}/refunds", {"reason": "torn"})


async def shop_ships(dialler: Dialler) -> None:
    """And the phone is told."""
    texts = await dialler.home.texts(dialler.phone)
    await posted(dialler.home.shop, f"/v1/payments/{dialler.asked[-1]['id']}/fulfilment", {"what": "Vegetable box"})
    await dialler.home.texts(dialler.phone, len(texts) + 1)


async def carrier_executes(dialler: Dialler) -> None:
    """What it has held back is carried out, and it says so."""
    statement = "SELECT id FROM attempt WHERE payment_id = :id ORDER BY created_at_ms DESC, id DESC"
    order = dialler.home.evidence.rows(statement, id=dialler.asked[-1]["id"])[0].id
    await until(lambda: order in dialler.home.world.billing.held, WAIT_S, "the order at the carrier")
    assert dialler.home.world.billing.execute_late(order)


async def carrier_refuses_the_refund(dialler: Dialler) -> None:
    statement = "SELECT id FROM attempt WHERE payment_id = :id AND kind = 'refund' AND status = 'failed'"
    await dialler.home.until_rows(statement, id=dialler.asked[-1]["id"])


async def is_asked_about_later(dialler: Dialler) -> None:
    """The carrier has been asked, does not know, and is not being asked at this moment."""
    statement = "SELECT due_at_ms FROM outbox WHERE payment_id = :id AND kind = 'inquire' AND due_at_ms > :soon"
    await dialler.home.until_rows(
        statement, id=dialler.asked[-1]["id"], soon=dialler.home.gateway.clock.now_ms() + 60_000
    )


async def _dispute(dialler: Dialler) -> str:
    found = (await dialler.home.shop.call("GET", "/v1/disputes?limit=100")).body["data"]
    return next(str(one["id"]) for one in found if one["payment_id"] == dialler.asked[-1]["id"])


async def shop_answers(dialler: Dialler) -> None:
    await posted(dialler.home.shop, f"/v1/disputes/{await _dispute(dialler)}/evidence", {"text": "She has signed."})


async def shop_gives_in(dialler: Dialler) -> None:
    await posted(dialler.home.shop, f"/v1/disputes/{await _dispute(dialler)}/accept")


async def operator_decides(dialler: Dialler) -> None:
    """For the shop, by the job of `gateway disputes decide`, which SQLite would want to stop the gateway for."""
    decided = DecideDispute(dispute_id=await _dispute(dialler), done=Act.WIN, note="signed for")
    await dialler.home.gateway.batcher.offer(decided)


ELSEWHERE: Final = Money(30_000, "TZS")
"""A limit in another currency than that of the carrier of these dialogues."""


def limited_elsewhere(phone: str) -> LimitByCare:
    """Somebody at the care line sets it, by the job of `gateway number limit`."""
    zone = ZoneInfo("Africa/Nairobi")
    return LimitByCare(phone=Phone(phone, "test"), carrier="acme", limit=ELSEWHERE, zone=zone, language="en")


async def has_a_limit_elsewhere(dialler: Dialler) -> None:
    await dialler.home.gateway.batcher.offer(limited_elsewhere(dialler.phone))


async def shop_sells_no_more(dialler: Dialler) -> None:
    """What is first on the screen. Another phone that walks may have seen to it already."""
    number = next(line for line in dialler.shown.splitlines() if line.startswith("1 ")).split()[2]
    for item in (await beni(dialler).call("GET", "/v1/items?limit=100")).body["data"]:
        if item["number"] == number:
            gone = await beni(dialler).call("DELETE", f"/v1/items/{item['id']}")
            assert gone.status in (200, 204, 404), gone.body


def beni(dialler: Dialler) -> Shop:
    """The shop that sells items."""
    return dialler.home.shop.beside(dialler.knows["key"])


async def another_session_begins(dialler: Dialler) -> None:
    """The phone dials again, and the network loses that session and leaves the phone in the one before."""
    network, phone = dialler.home.world.ussd, dialler.phone
    kept, before = network.session(phone), dialler.screens
    assert kept is not None
    network._sessions.pop(phone)
    dialler.handsets.dial(phone, dialler.code)
    await dialler.reads(before)
    lost = network.session(phone)
    assert lost is not None and lost is not kept
    network._forget(lost)
    network._sessions[phone] = kept


async def confirms_by_text(dialler: Dialler) -> None:
    """Both codes that are asked for, one after the other, to whoever asked."""
    for further in (1, 0):
        texts = await dialler.home.texts(dialler.phone)
        sender = list(dialler.handsets.phone(dialler.phone).inbox or ())[-1].sender
        dialler.handsets.send(dialler.phone, sender, await dialler.newest_code())
        await dialler.home.texts(dialler.phone, len(texts) + further)

"""Every unknown outcome and every end of it, at each biller, in one house a database.

The columns of `WAYS` are what ends the doubt; below each stands the fault by which the carrier makes it:

| end | means |
|-----|-------|
| done, declined | an inquiry says so |
| never | "not found", believed after `max_processing_s` and three answers |
| called | only the carrier's callback, long after, makes us ask again |
| file | inquiries say nothing to the ladder's end; the carrier's file tells what its book has |
| person | nobody says anything; an operator asks the carrier and writes its word down as a file of one row |
|        | (a reservation, of which no file tells, is decided by `gateway breaks decide`; so is what is returned) |

`returned` is a charge of which the shop gives all back once its doubt has ended.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path as Folder
from typing import Final

import pytest
from msgspec.structs import replace

from gateway.config import CarrierSection
from simulators.world import World
from tests.cli.commands import Here
from tests.journeys.billers import BILLERS
from tests.journeys.house import House, house, together
from tests.journeys.operator import Desk, carriers_file, files_of, written_by_hand
from tests.journeys.paths import LIMIT_S, PREFIXES, Feed, Path, Story

pytestmark = [pytest.mark.journey, pytest.mark.money]

PAST_THE_LADDER_S = 61
PAST_THE_DEADLINE_S = 700

# "-": the carrier cannot do that, or the operation does not exist there.
WAYS: Final = """
biller order    done             declined              never         called       file             person
opbill charge   timeout_charged  timeout_declined      timeout_lost  processing   timeout_charged  processing
opbill reserve  timeout_charged  timeout_declined      timeout_lost  processing   -                processing
opbill capture  timeout_charged  timeout_declined      timeout_lost  processing   timeout_charged  processing
opbill release  timeout_charged  -                     timeout_lost  processing   -                -
opbill refund   timeout_charged  timeout_declined      timeout_lost  processing   timeout_charged  processing
opbill reverse  timeout_charged  timeout_declined      timeout_lost  processing   timeout_charged  -
camara charge   timeout_charged  denied                timeout_lost  processing   -                silent
camara reserve  timeout_charged  denied                timeout_lost  processing   -                -
camara capture  timeout_done     denied                timeout_lost  processing   -                -
camara release  timeout_done     -                     timeout_lost  processing   -                -
camara refund   timeout_charged  denied                timeout_lost  processing   -                silent
camara reverse  timeout_charged  denied                timeout_lost  processing   -                -
mtn    charge   timeout_charged  timeout_declined      timeout_lost  processing   timeout_charged  silent
mtn    refund   timeout_charged  timeout_declined      timeout_lost  processing   timeout_charged  silent
mtn    reverse  timeout_charged  timeout_declined      timeout_lost  processing   timeout_charged  -
gsma   charge   timeout_charged  timeout_declined      timeout_lost  processing   processing       silent
gsma   refund   timeout_charged  timeout_declined      timeout_lost  processing   timeout_charged  silent
gsma   reverse  timeout_charged  timeout_declined      timeout_lost  processing   timeout_charged  -
gsma   returned -                -                     -             -            callback_lost    callback_lost
airtel charge   timeout_charged  timeout_declined      timeout_lost  processing   processing       silent
airtel refund   callback_lost    -                     -             -            timeout_charged  timeout_charged
airtel reverse  callback_lost    -                     -             -            timeout_charged  timeout_charged
airtel returned -                -                     -             -            timeout_charged  timeout_charged
stk    charge   callback_lost    cancelled             -             timeout_begun callback_lost   timeout_lost
stk    refund   callback_twice   initiator_not_allowed -             -            -                silent
stk    reverse  timeout_begun    initiator_not_allowed -             -            -                callback_lost
"""


def ways() -> list[Path]:
    """The table's cells, and what was charged after the end."""
    head, *lines = (line.split() for line in WAYS.strip().splitlines())
    cells = [
        Path(line[0], line[1], ends, fault)
        for line in lines
        for ends, fault in zip(head[2:], line[2:], strict=True)
        if fault != "-"
    ]
    keyed = [name for name, one in BILLERS.items() if one.family != "server"]
    late = [Path(name, "late charge", ends, "late") for name in keyed for ends in ("failed", "cancelled")]
    return [*cells, *late, Path("opbill", "overturned", "expired", "insufficient_funds")]


def carriers(world: World, acme: CarrierSection) -> dict[str, CarrierSection]:
    """One carrier a biller, each with a bind, a short code and numbers of its own.

    So many payments at once may be slow: what counts as lost is lost.
    """
    return {
        name: replace(
            acme,
            prefixes=(PREFIXES[name],),
            short_code=f"2235{n}",
            bearer={**acme.bearer, "system_id": name, "source_addr": f"2235{n}", "response_timeout_s": 5.0},
            biller={**biller.settings(world), "timeout_s": 2.5},
            files=files_of(name),
            # Three questions in a hurry; who has not said it by then has to call.
            inquiry_ladder_s=(0.1, 0.2, 0.4, PAST_THE_LADDER_S - 1),
        )
        for n, (name, biller) in enumerate(BILLERS.items())
    }


@pytest.fixture
async def town(database_url: str, tmp_path: Folder) -> AsyncIterator[House]:
    journals = ("billing", "camara", "wallet", "stk")
    async with house(database_url, tmp_path / "journal", called_back=True, wallets=journals, beside=carriers) as opened:
        opened.world.wallet.notice_url = f"{opened.gateway.url}/callbacks/airtel/notice"
        yield opened


async def _end_of_the_ladder(town: House, count: int) -> None:
    """All that is parked has a break of its own."""
    ends_s = time.monotonic() + LIMIT_S
    while len(found := town.evidence.rows("SELECT payment_id FROM break WHERE kind = 'unknown_outcome'")) < count:
        assert time.monotonic() < ends_s, f"{len(found)} breaks of {count}"
        town.advance(PAST_THE_LADDER_S)
        await asyncio.sleep(0.5)


async def _told_by_files(desk: Desk, town: House, parked: Sequence[Story], folder: Folder) -> None:
    lines: list[tuple[str | Folder, ...]] = [("reconcile", await carriers_file(town, folder, carrier="opbill"))]
    decided = [one for one in parked if one.path.is_decided]
    by_hand = [one for one in parked if one not in decided and (one.path.biller, one.path.ends) != ("opbill", "file")]
    for name in BILLERS:
        rows = [one.row() for one in by_hand if one.path.biller == name]
        lines.append(("reconcile", written_by_hand(folder, name, rows)))
    for one in decided:
        [doubt] = town.evidence.rows("SELECT id FROM break WHERE payment_id = :id", id=one.payment_id)
        outcome = "happened" if one.path.is_done else "did-not-happen"
        lines.append(("breaks", "decide", doubt.id, outcome, "--note", "ticket 17", "--by", "amina"))
    for done in await desk.type(*lines):
        assert done.code == 0, done
        assert "breaks     0\n" in done.out or "as the carrier told amina: ticket 17" in done.out, done.out


async def _expect_no_silence(desk: Desk, town: House, kept: Sequence[Story]) -> None:
    """What the carrier would not give back stays a break as long as it has not gone back."""
    left = town.evidence.rows("SELECT id, kind, payment_id FROM break WHERE resolved_at_ms IS NULL")
    assert {(row.kind, row.payment_id) for row in left} == {("reversal_declined", one.payment_id) for one in kept}
    resolve = [("breaks", "resolve", row.id, "--note", "the desk said no", "--by", "amina") for row in left]
    *refused, listed = await desk.type(*resolve, ("breaks", "list"))
    assert all("its payment is not over" in one.complaint() for one in refused)
    assert listed.out.endswith(f"{len(left)} open breaks\n")
    town.expected_breaks += [row.kind for row in left]


async def test_each_unknown_outcome_ends_in_the_truth(
    town: House, tmp_path: Folder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    feed = Feed(town.shop)
    stories = [Story(town, feed, path) for path in ways()]
    parked = [one for one in stories if one.path.is_parked]
    async with feed.followed():
        await together(*(one.begin() for one in stories))
        await _end_of_the_ladder(town, len(parked))
    desk = Desk(town, Here(monkeypatch, capsys), tmp_path)
    await _told_by_files(desk, town, parked, tmp_path)
    town.world.plan.clear()
    async with feed.followed():
        await together(*(one.finish() for one in parked))
        town.advance(PAST_THE_DEADLINE_S)
        await together(*(one.overturn() for one in stories if one.path.ends == "expired"))
    await _expect_no_silence(
        desk, town, [one for one in stories if one.path.order == "reverse" and not one.path.is_done]
    )
    await town.settled()
    for story in stories:
        story.judge_texts()
    town.expected_breaks += ["unknown_outcome"] * len(parked)

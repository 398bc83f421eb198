"""What an operator does while a journey runs: types commands, and takes the carriers' files."""

import asyncio
import csv
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import aiohttp
import msgspec

from gateway.core.carrier_files import Files
from tests.cli.commands import Finished, Here
from tests.journeys.evidence import CODE_KEY
from tests.journeys.house import SECRETS, House
from tests.journeys.processes import toml

ZONE: Final = ZoneInfo("Africa/Nairobi")
_KEYS: Final = {"GATEWAY_CODE_KEY": CODE_KEY.hex(), "GATEWAY_PIN_KEY": SECRETS.pin_keys[0].hex()}
HEAD: Final = ("time", "correlator", "reference", "amount", "currency", "result", "fee")


def files_of(carrier: str) -> Files:
    """Its files are laid out as the simulator of billing writes them."""
    return Files(
        pattern=f"{carrier}_{{date}}.csv",
        columns={
            **{"attempt_id": "correlator", "carrier_reference": "reference", "amount": "amount"},
            **{"currency": "currency", "status": "result", "at": "time", "fee": "fee"},
        },
        statuses={"Charged": "charged", "Refunded": "refunded", "Denied": "failed"},
        trailer="TRAILER",
        trailer_columns={"rows": "2", "total": "3", "remitted": "4"},
        grace_s=0.0,
    )


def named(folder: Path, carrier: str, *, days_ago: int = 0) -> Path:
    """Where the carrier's file of that day goes."""
    day = datetime.now(ZONE) - timedelta(days=days_ago)
    return folder / f"{carrier}_{day.strftime('%Y%m%d')}.csv"


async def carriers_file(home: House, folder: Path, *, carrier: str = "acme", **knobs: object) -> Path:
    """The operator's file of today, as control hands it out."""
    url = f"{home.world.control.server.url}/sim/v1/billing/file"
    async with aiohttp.ClientSession() as http, http.post(url, json=knobs) as answer:
        assert answer.status == 200, await answer.text()
        text = await answer.text()
    path = named(folder, carrier)
    path.write_text(text, encoding="utf-8")
    return path


def written_by_hand(folder: Path, carrier: str, rows: Iterable[tuple[str, str, str, str]], *, paid: str = "") -> Path:
    """A file of yesterday with what the carrier said about some orders.

    Of each: its id, what the carrier calls it, its amount, what came of it.

    *paid*: what it pays for all of them.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEAD)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    told = [(at, order, reference, amount, "KES", result, "") for order, reference, amount, result in rows]
    writer.writerows([*told, ("TRAILER", len(told), "", paid)])
    path = named(folder, carrier, days_ago=1)
    path.write_text(text.getvalue(), encoding="utf-8")
    return path


class Desk:
    """Where `gateway` is typed: beside it on PostgreSQL, with the gateway stopped on SQLite."""

    def __init__(self, home: House, here: Here, folder: Path) -> None:
        self._home = home
        self._here = here
        self._config = folder / "desk.toml"
        self._config.write_text(toml(msgspec.to_builtins(home.gateway.config)), encoding="utf-8")

    async def type(self, *lines: Sequence[str | Path]) -> list[Finished]:
        """Each line is the words of one command."""
        alone = self._home.gateway.config.gateway.database.startswith("sqlite:")
        if alone:
            await self._home.stop()
        try:
            return [await asyncio.to_thread(self._run, line) for line in lines]
        finally:
            if alone:
                await self._home.start_again()

    def _run(self, words: Sequence[str | Path]) -> Finished:
        return self._here(*words, "--config", self._config, **_KEYS)

"""A gateway with a USSD channel: its calls reach the menus, and what does not fit is refused."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import aiohttp
import msgspec
import pytest

from carriers import base
from gateway import adapters
from gateway.adapters import Kind, Port
from gateway.app import Gateway, parts
from gateway.config import ConfigError, Secrets
from tests.app.test_gateway import carrier, config

SECRETS = Secrets(code_key=bytes(range(32)), pin_keys=(bytes(32),))


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    gsm_units_max: int = 182


class Channel:
    """The shortest dialect: what was typed so far is the body, parted by `*`; the answer says whether it goes on."""

    ucs2_units_max = 80
    pushes = False
    hard_timeout_s = 1.0

    def __init__(self, name: str, settings: Settings, *, now_ms: Callable[[], int]) -> None:
        self.gsm_units_max = settings.gsm_units_max
        self._carrier, self._now_ms = name, now_ms

    def routes(self, sink: base.UssdSink) -> Sequence[base.Route]:
        async def answer(request: base.Request) -> base.Response:
            inputs = tuple(base.Typed(one) for one in request.body.decode().split("*") if one)
            step = base.UssdStep(
                carrier=self._carrier,
                session_id=request.query["session"],
                msisdn="+254700000001",
                service_code="*384#",
                kind="input" if inputs else "begin",
                inputs=inputs,
                first=0,
                read_at_ms=self._now_ms(),
            )
            shown = await sink(step)
            return base.Response(status=200, body=f"{'CON' if shown.goes_on else 'END'} {shown.text}".encode())

        return (base.Route(method="POST", path="/ussd", answer=answer),)

    async def run(self, sink: base.UssdSink) -> None:
        await asyncio.get_running_loop().create_future()

    async def push(self, ask: base.UssdAsk) -> base.SubmitResult:
        raise AssertionError("nobody pushes here")

    def is_up(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def one_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    def kinds(port: Port, found: Any = adapters.kinds) -> Any:  # Any: as the adapters have it.
        return {"short": Kind(Settings, Channel)} if port == "UssdChannel" else found(port)

    monkeypatch.setattr(adapters, "kinds", kinds)


async def test_a_channels_calls_reach_the_menus(sqlite_url: str) -> None:
    gateway = Gateway(config(sqlite_url, acme=carrier("+254", ussd={"type": "short"})), SECRETS)
    await gateway.start()
    try:
        async with aiohttp.ClientSession() as http:

            async def said(body: str) -> str:
                url = f"{gateway.url}/callbacks/acme/ussd?session=s-1"
                async with http.post(url, data=body) as answered:
                    return await answered.text()

            assert (await said("")).startswith("CON Acme Pay\n1 Waiting to pay (0)")
            assert (await said("3")).startswith("CON You have paid nothing yet")
            assert await said("3*00") == await said("3*00") != ""
            assert (await said("3*00")).startswith("END Goodbye.")
    finally:
        await gateway.stop()


def test_a_channel_with_too_small_screens_is_refused(sqlite_url: str) -> None:
    settings = config(sqlite_url, acme=carrier("+254", ussd={"type": "short", "gsm_units_max": 100}))
    channels = parts.ussd_channels(settings, lambda: 0)
    with pytest.raises(ConfigError, match=r"carriers\.acme\.ussd\.gsm_units_max: expected at least \d+ \(.*got 100"):
        parts.desks(settings, channels, parts.spoken(settings))


@pytest.mark.parametrize(
    ("ask_by", "can_push", "pushes"), [("ussd", True, {"acme": 60_000}), ("ussd", False, {}), ("sms", True, {})]
)
def test_asks_are_screens_only_where_the_channel_can_begin_sessions(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, ask_by: str, can_push: bool, pushes: dict[str, int]
) -> None:
    monkeypatch.setattr(Channel, "pushes", can_push)
    settings = config(sqlite_url, acme=carrier("+254", ussd={"type": "short"}, ask_by=ask_by))
    assert parts.pushing(settings, parts.ussd_channels(settings, lambda: 0)) == pushes

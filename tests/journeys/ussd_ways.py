"""The ways over which plain phones dial in journeys: four styles of aggregators by HTTP, and two dialects of SMPP."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from gateway.config import CarrierSection
from simulators.ussd import Style
from simulators.world import World
from tests.journeys.house import CALLBACK_KEY, House

Toml = dict[str, Any]  # Any: settings of a channel.
HTTP_CODE: Final = "*384#"
SMPP_CODE: Final = "*385#"
JSON_STYLES: Final[tuple[Style, ...]] = ("hubtel", "nalo", "infobip")
PREFIXES: Final[dict[str, str]] = {"hubtel": "+25410", "nalo": "+25411", "infobip": "+25412", "dialect A": "+25413"}
"""Of the carriers beside the first, which has `form`."""
AGGREGATORS: Final = {"form": "+2547", **{style: PREFIXES[style] for style in JSON_STYLES}}


def over_http(style: str) -> Callable[[World], Toml]:
    known = {"type": "ussd_http", "style": style, "path_token": CALLBACK_KEY, "answer_timeout_s": 10.0}
    return lambda world: {
        **known,
        "service_code": HTTP_CODE,
        "push_url": world.ussd_http.server.url,
        "push_timeout_s": 0.5,
        "callback_base_url": "http://127.0.0.1:1",
    }


def over_smpp(dialog: str) -> Callable[[World], Toml]:
    def settings(world: World) -> Toml:
        assert world.smsc.ussd is not None
        world.smsc.ussd.dialog = dialog  # type: ignore[assignment]  # One of the two.
        of = world.ussd.settings
        known = {"type": "ussd_smpp", "host": "127.0.0.1", "port": world.smsc.port, "answer_timeout_s": 10.0}
        bind = {"system_id": of.system_id, "password": of.password, "service_code": of.smpp_code}
        return {**known, **bind, "dialog": dialog, "pushes": True, "response_timeout_s": 0.5}

    return settings


def beside(world: World, first: CarrierSection) -> dict[str, CarrierSection]:
    """A carrier for each further way; their texts go by binds of their own."""
    ways: dict[str, Callable[[World], Toml]] = {name: over_http(name) for name in JSON_STYLES}
    ways["dialect A"] = over_smpp("its_session_info")
    binds = dict(zip(ways, ("mtn", "gsma", "airtel", "stk"), strict=True))
    return {
        name.replace(" ", "-"): replace(
            first,
            prefixes=(PREFIXES[name],),
            ussd=way(world),
            bearer={**first.bearer, "system_id": binds[name], "source_addr": f"2234{number}"},
            short_code=f"2234{number}",
        )
        for number, (name, way) in enumerate(ways.items())
    }


class Way(NamedTuple):
    """*style* is the aggregator's, if there is one."""

    style: str
    code: str
    prefix: str


BY_HTTP_AND_A: Final = (
    *(Way(style, HTTP_CODE, prefix) for style, prefix in AGGREGATORS.items()),
    Way("", SMPP_CODE, PREFIXES["dialect A"]),
)
BY_B: Final = (Way("", SMPP_CODE, "+2547"),)


def speak(home: House, style: str) -> None:
    """The aggregator has another customer now."""
    home.world.ussd_http.style = style  # type: ignore[assignment]  # One of its own.
    carrier = "acme" if style == "form" else style
    home.world.ussd_http.url = f"{home.gateway.url}/callbacks/{carrier}/{CALLBACK_KEY}"

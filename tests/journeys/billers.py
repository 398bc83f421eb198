"""The billers that journeys pay through: how a gateway is told of each, and what its simulator calls things.

Three families: *sync* answers an order at once and knows our id; *async* knows our id and lets the phone approve, so an
order is only accepted; *server* names the order by itself, and whoever lost that answer cannot ask.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from simulators.camara_wire import PAYMENTS, REFUNDS, TOKEN_PATH
from simulators.world import World

TIMEOUT_S: Final = 0.8
MAX_PROCESSING_S: Final = 0.5

Toml = dict[str, Any]  # Any: settings of an adapter.


def opbill(world: World) -> Toml:
    return {
        "type": "opbill",
        "base_url": world.billing.server.url,
        "user": "gateway",
        "password": "secret",
        "timeout_s": TIMEOUT_S,
        "max_processing_s": MAX_PROCESSING_S,
    }


def camara(world: World) -> Toml:
    at = world.camara.server.url
    return {
        "type": "camara",
        "base_url": f"{at}{PAYMENTS}",
        "refund_url": f"{at}{REFUNDS}",
        "token_url": f"{at}{TOKEN_PATH}",
        "client_id": "gateway",
        "client_secret": "secret",
        "timeout_s": TIMEOUT_S,
        "max_processing_s": MAX_PROCESSING_S,
    }


def mtn(world: World) -> Toml:
    special = {"subscription_key": "subscription", "target_environment": "sandbox"}
    return {**_momo(world, "mtn"), **special}


def gsma(world: World) -> Toml:
    return {**_momo(world, "gsma"), "receiver": world.wallet.settings.receiver}


def airtel(world: World) -> Toml:
    of = world.wallet.settings
    special = {"country": of.country, "country_code": of.country_code, "notice_key": of.notice_key}
    return {**_momo(world, "airtel"), **special}


def _momo(world: World, dialect: str) -> Toml:
    return {
        "type": "wallet_momo",
        "dialect": dialect,
        "base_url": f"{world.wallet.server.url}/{dialect}",
        "user": "gateway",
        "password": "secret",
        "timeout_s": TIMEOUT_S,
        "max_processing_s": MAX_PROCESSING_S,
    }


def stk(world: World) -> Toml:
    settings = world.stk.settings
    return {
        "type": "wallet_stk",
        "base_url": world.stk.server.url,
        "consumer_key": settings.consumer_key,
        "consumer_secret": settings.consumer_secret,
        "short_code": settings.short_code,
        "passkey": settings.passkey,
        "initiator": settings.initiator,
        "security_credential": settings.security_credential,
        "callback_base_url": "http://127.0.0.1:1",
        "callback_key": "ab" * 16,
        "timeout_s": TIMEOUT_S,
    }


@dataclass(frozen=True)
class Biller:
    """One biller, its family, and where its simulator can be struck: our word for an order to its fault point."""

    settings: Callable[[World], Toml]
    family: Literal["sync", "async", "server"]
    journal: str
    points: Mapping[str, str]


_BILLING = {kind: f"billing.{kind}" for kind in ("charge", "reserve", "capture", "release", "refund")}
_CAMARA = {
    **{kind: f"camara.{kind}" for kind in ("charge", "reserve", "refund")},
    **{"capture": "camara.confirm", "release": "camara.cancel"},
}
_WALLET = {"charge": "wallet.charge", "refund": "wallet.refund"}
_STK = {"charge": "stk.push", "refund": "stk.reversal"}
BILLERS: Final[Mapping[str, Biller]] = {
    "opbill": Biller(opbill, "sync", "billing", _BILLING),
    "camara": Biller(camara, "sync", "camara", _CAMARA),
    "mtn": Biller(mtn, "async", "wallet", _WALLET),
    "gsma": Biller(gsma, "async", "wallet", _WALLET),
    "airtel": Biller(airtel, "async", "wallet", _WALLET),
    "stk": Biller(stk, "server", "stk", _STK),
}

"""What the gateway owes a merchant, by currency, out of the ledger."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from gateway.core.ledger import merchant_available, merchant_pending
from gateway.core.public import rfc3339
from gateway.store.balances import balances
from merchants.deps import Api
from merchants.operations import AnyOperation, Call, Operation
from merchants.shapes import Nothing

Minor = Annotated[int, Meta(description="Minor units; what we owe you is positive.", examples=[125000])]


class CurrencyBalance(Struct, frozen=True, kw_only=True):
    """What we owe you in one currency."""

    currency: str
    pending: Minor
    available: Minor


class Balance(Struct, frozen=True, kw_only=True):
    """All currencies in which there ever was an entry."""

    object: Literal["balance"] = "balance"
    mode: str
    as_of: str
    currencies: list[CurrencyBalance]


class Balances:
    """The handler."""

    def __init__(self, api: Api) -> None:
        self._reads = api.reads
        self._now_ms = api.now_ms

    async def read(self, call: Call, query: Nothing) -> Balance:
        caller = call.caller
        pending, available = merchant_pending(caller.merchant_id), merchant_available(caller.merchant_id)
        as_of = rfc3339(self._now_ms())
        found = await self._reads(lambda conn: balances(conn, (pending, available), caller.mode))
        # A liability is a credit, which the ledger writes below zero.
        owed = {(balance.account, balance.currency): -balance.amount_minor for balance in found}
        currencies = [
            CurrencyBalance(
                currency=currency,
                pending=owed.get((pending, currency), 0),
                available=owed.get((available, currency), 0),
            )
            for currency in sorted({currency for _, currency in owed})
        ]
        return Balance(mode=caller.mode, as_of=as_of, currencies=currencies)


def operations(api: Api) -> list[AnyOperation]:
    """The route of the balance."""
    return [
        Operation(
            method="GET",
            path="/v1/balance",
            name="readBalance",
            summary="Read what the gateway owes you",
            scope="balance:read",
            takes=Nothing,
            gives=Balance,
            handle=Balances(api).read,
        )
    ]

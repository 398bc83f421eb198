"""A shop whose day has ended: a payment of yesterday, settled and drafted as a payout."""

from gateway.core.settling import Terms
from gateway.engine.batcher import Call
from gateway.store.payouts import DraftPayouts
from gateway.store.settling import SettleMerchant
from gateway.store.terms import write_terms
from tests.merchants.shop import Shop

TERMS = Terms(waits={"*": 0}, account_name="Asha", account="1100223344")
DAY_S = 86_400


async def settled(shop: Shop, amount: int) -> str:
    """The id of the settlement."""
    merchant_id = shop.mine.id
    await shop.succeed(amount=amount)
    shop.clock.advance(DAY_S)
    await shop.do(Call(lambda unit: write_terms(unit.conn, merchant_id, TERMS, by="sales")))
    made = await shop.do(SettleMerchant(merchant_id=merchant_id))
    await shop.do(DraftPayouts(merchant_id=merchant_id, by="run"))
    assert isinstance(made, list)
    return str(made[0].id)

"""STOP and START, for everybody or for one shop.

STOP acts at once and in doubt on everything: a word that is no shop's keyword stops all. Its text also takes with it
the asks that wait in a lane, so it is queued, if only mute, even for a phone that has had its share of answers.
"""

from gateway.core.keywords import Start, Stop
from gateway.engine.inbox import Inbound
from gateway.engine.loop_guard import BEYOND_FOR_STOP
from gateway.engine.opt_outs import start_all, stop_all, stop_shop
from gateway.store.queries import MerchantRow, merchant_by_keyword


def stop(inbound: Inbound) -> None:
    command = inbound.reply.command
    assert isinstance(command, Stop)
    merchant = merchant_by_keyword(inbound.unit.conn, command.scope) if command.scope else None
    if merchant is None:
        _stop_all(inbound)
    else:
        _stop_shop(inbound, merchant, command.scope)


def _stop_all(inbound: Inbound) -> None:
    stopped = stop_all(inbound.unit, inbound.consumer, inbound.mo_id)
    _confirm(inbound, "stopped", {"count": str(stopped.closed)}, is_news=stopped.is_news)


def _stop_shop(inbound: Inbound, merchant: MerchantRow, keyword: str) -> None:
    stopped = stop_shop(inbound.unit, inbound.consumer, merchant.id, inbound.mo_id)
    fields = {"shop": merchant.shop, "keyword": keyword, "count": str(stopped.closed)}
    _confirm(inbound, "stopped_shop", fields, is_news=stopped.is_news, merchant_id=merchant.id)


def _confirm(inbound: Inbound, template: str, fields: dict[str, str], *, is_news: bool, merchant_id: str = "") -> None:
    is_told = inbound.may_answer(beyond=BEYOND_FOR_STOP if is_news else 0)
    inbound.effects.send_text(
        inbound.consumer.id,
        inbound.mo.carrier,
        template,
        inbound.language,
        fields,
        ends_asks=True,
        ends_asks_of=merchant_id,
        is_mute=not is_told,
    )


def start(inbound: Inbound) -> None:
    """START alone lifts everything; with a shop it lifts that shop's stop, and what stops all stays."""
    command = inbound.reply.command
    assert isinstance(command, Start)
    if not command.scope:
        start_all(inbound.unit, inbound.consumer)
        inbound.answer("started")
        return
    merchant = merchant_by_keyword(inbound.unit.conn, command.scope)
    if merchant is None:
        inbound.answer("shop_unknown", shop=command.scope)
        return
    inbound.unit.shop_stops(inbound.consumer.id).discard(merchant.id)
    if not told_stopped(inbound, merchant, command.scope):
        inbound.answer("started_shop", shop=merchant.shop, keyword=command.scope)


def told_stopped(inbound: Inbound, merchant: MerchantRow, keyword: str) -> bool:
    """Whether this phone has stopped the shop, or all; if so it is told how to lift that, and nothing is changed."""
    if inbound.consumer.stopped_at_ms is not None:
        inbound.answer("stopped", count="0")
        return True
    if merchant.id in inbound.unit.shop_stops(inbound.consumer.id):
        inbound.answer("stopped_shop", shop=merchant.shop, keyword=keyword, count="0")
        return True
    return False

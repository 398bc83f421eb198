"""STOP and START, for everybody or for one shop.

STOP acts at once and in doubt on everything: a word that is no shop's keyword stops all. Asks that wait in a lane go
with it, at each carrier that has one, also where the phone has had its share of answers.
"""

from gateway.core.keywords import Start, Stop
from gateway.engine.inbox import Inbound
from gateway.engine.loop_guard import BEYOND_FOR_STOP
from gateway.engine.opt_outs import Stopped, end_asks, start_all, stop_all, stop_shop
from gateway.store.queries import MerchantRow, merchant_by_keyword
from gateway.store.unit import Consumer, Unit


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
    _confirm(inbound, "stopped", {"count": str(stopped.closed)}, stopped)


def _stop_shop(inbound: Inbound, merchant: MerchantRow, keyword: str) -> None:
    stopped = stop_shop(inbound.unit, inbound.consumer, merchant.id, inbound.mo_id)
    fields = {"shop": merchant.shop, "keyword": keyword, "count": str(stopped.closed)}
    _confirm(inbound, "stopped_shop", fields, stopped, merchant_id=merchant.id)


def _confirm(
    inbound: Inbound, template: str, fields: dict[str, str], stopped: Stopped, *, merchant_id: str = ""
) -> None:
    consumer_id, carrier = inbound.consumer.id, inbound.mo.carrier
    lanes = stopped.carriers | {carrier}
    if inbound.may_answer(beyond=BEYOND_FOR_STOP if stopped.is_news else 0):
        # The text itself takes the asks of its lane along.
        said = (consumer_id, carrier, template, inbound.language, fields)
        inbound.effects.send_text(*said, ends_asks=True, ends_asks_of=merchant_id)
        lanes -= {carrier}
    end_asks(inbound.unit, consumer_id, lanes, merchant_id=merchant_id)


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
    start_shop(inbound.unit, inbound.consumer, merchant.id)
    if not told_stopped(inbound, merchant, command.scope):
        inbound.answer("started_shop", shop=merchant.shop, keyword=command.scope)


def start_shop(unit: Unit, consumer: Consumer, merchant_id: str) -> None:
    """Lift this locked phone's stop of one shop; what stops all stays."""
    unit.shop_stops(consumer.id).discard(merchant_id)


def told_stopped(inbound: Inbound, merchant: MerchantRow, keyword: str) -> bool:
    """Whether this phone has stopped the shop, or all; if so it is told how to lift that, and nothing is changed."""
    if inbound.consumer.stopped_at_ms is not None:
        inbound.answer("stopped", count="0")
        return True
    if merchant.id in inbound.unit.shop_stops(inbound.consumer.id):
        inbound.answer("stopped_shop", shop=merchant.shop, keyword=keyword, count="0")
        return True
    return False

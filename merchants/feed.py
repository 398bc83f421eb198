"""The operation on the event feed. The feed is the truth, a webhook only a hint."""

import msgspec

from gateway.core.ids import is_id
from gateway.store import merchant_reads
from gateway.store.merchant_reads import Owner
from merchants.deps import Api
from merchants.operations import AnyOperation, Call, Operation
from merchants.problems import refused_fields
from merchants.shapes import EventPage, EventQuery, FieldError, RawEventPage


class Feed:
    """The handler."""

    def __init__(self, api: Api) -> None:
        self._reads = api.reads

    async def events(self, call: Call, query: EventQuery) -> RawEventPage:
        """The bytes of each event are those that its webhooks carry."""
        if query.type is not None or query.payment_id is not None:
            return await self._chosen_events(call.caller.owner, query)
        found = await self._reads(
            lambda conn: merchant_reads.events(
                conn, call.caller.owner, after_seq=query.after_seq, limit=query.limit + 1
            )
        )
        page = found[: query.limit]
        return RawEventPage(
            data=[msgspec.Raw(row.body.encode()) for row in page],
            has_more=len(found) > query.limit,
            next_after_seq=page[-1].seq if page else query.after_seq,
        )

    async def _chosen_events(self, owner: Owner, query: EventQuery) -> RawEventPage:
        if query.payment_id is not None and not is_id(query.payment_id, "pay_"):
            raise refused_fields(FieldError(field="payment_id", message="expected a payment's id"))
        page = await self._reads(
            lambda conn: merchant_reads.chosen_events(
                conn,
                owner,
                after_seq=query.after_seq,
                limit=query.limit,
                kind=query.type,
                payment_id=query.payment_id,
            )
        )
        return RawEventPage(
            data=[msgspec.Raw(row.body.encode()) for row in page.rows],
            has_more=page.has_more,
            next_after_seq=page.looked_to_seq,
        )


def operations(api: Api) -> list[AnyOperation]:
    """The route of the feed."""
    return [
        Operation(
            method="GET",
            path="/v1/events",
            name="listEvents",
            scope="events:read",
            summary="Read the event feed",
            takes=EventQuery,
            gives=EventPage,
            handle=Feed(api).events,
        ),
    ]

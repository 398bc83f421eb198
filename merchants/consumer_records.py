"""What a merchant may look up about a phone: its own payments with that number, and nothing of anybody else's."""

from gateway.store.payment_lists import payments_of_phone
from merchants.deps import Api
from merchants.operations import AnyOperation, Call, Operation
from merchants.payment_lists import payment_page
from merchants.routing import country_of
from merchants.shapes import ConsumerRecordsRequest, PaymentPage


class ConsumerRecords:
    """The handler."""

    def __init__(self, api: Api) -> None:
        self._reads = api.reads

    async def search(self, call: Call, request: ConsumerRecordsRequest) -> PaymentPage:
        country_of(request.msisdn)
        return await payment_page(
            self._reads,
            request,
            lambda conn, **page: payments_of_phone(conn, call.caller.owner, request.msisdn, **page),
        )


def operations(api: Api) -> list[AnyOperation]:
    """The route of the search."""
    return [
        Operation(
            method="POST",
            path="/v1/consumer_records/search",
            name="searchConsumerRecords",
            summary="List your payments with one phone, newest first",
            scope="consumers:read",
            takes=ConsumerRecordsRequest,
            gives=PaymentPage,
            problems=("invalid_msisdn",),
            handle=ConsumerRecords(api).search,
        )
    ]

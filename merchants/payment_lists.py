"""Pages of payments: the query as it is meant, the page as it is shown. Which rows there are the store knows."""

from typing import Protocol

from sqlalchemy import Connection

from gateway.core.ids import is_id
from gateway.core.msisdn import mask
from gateway.core.public import PublicPayment, public_payment
from gateway.store.merchant_reads import Shown
from gateway.store.payment_lists import Found, Wanted
from merchants import checks
from merchants.keys import ReadsPort
from merchants.problems import refused_fields
from merchants.shapes import FieldError, PageQuery, PaymentPage, PaymentQuery


class Find(Protocol):
    """A look-up of the store's, as far as pages are concerned."""

    def __call__(self, conn: Connection, *, limit: int, older_than: str | None, newer_than: str | None) -> Found: ...


def public(shown: Shown) -> PublicPayment:
    """The payment as it is shown in every answer but those to the request that named the number."""
    return public_payment(shown.payment, mask(shown.msisdn))


def wanted_payments(query: PaymentQuery) -> Wanted:
    """The filters of *query*; Refused if one cannot be meant."""
    checks.printable(reference=query.reference, carrier=query.carrier, currency=query.currency)
    created_from_ms, created_before_ms = checks.period(query.created_after, query.created_before)
    return Wanted(
        created_from_ms=created_from_ms,
        created_before_ms=created_before_ms,
        status=query.status,
        reason=query.reason,
        carrier=query.carrier,
        currency=query.currency,
        reference=query.reference,
        amount_min=query.amount_min,
        amount_max=query.amount_max,
    )


async def payment_page(reads: ReadsPort, query: PageQuery, find: Find) -> PaymentPage:
    """The page that *query* asks for, newest first, out of what *find* finds."""
    _check_cursors(query)
    backwards = query.ending_before is not None
    found = await reads(
        lambda conn: find(conn, limit=query.limit + 1, older_than=query.starting_after, newer_than=query.ending_before)
    )
    rows, following = found.payments, found.looked_to_id
    if len(rows) > query.limit:
        # The one that is too many is the farthest from the cursor.
        rows = rows[-query.limit :] if backwards else rows[: query.limit]
        following = rows[0 if backwards else -1].payment.id
    return PaymentPage(data=[public(shown) for shown in rows], has_more=following is not None, next=following)


def _check_cursors(query: PageQuery) -> None:
    for field in ("starting_after", "ending_before"):
        cursor = getattr(query, field)
        if cursor is not None and not is_id(cursor, "pay_"):
            raise refused_fields(FieldError(field=field, message="expected a payment's id"))
    if query.starting_after is not None and query.ending_before is not None:
        raise refused_fields(FieldError(field="ending_before", message="expected no starting_after beside it"))

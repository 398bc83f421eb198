"""The tables, in SQLAlchemy Core, the same on SQLite and PostgreSQL.

Times are integer milliseconds since 1970 UTC, amounts integer minor units, nested things JSON text: every column is
text or integer, so that whole batches travel as one JSON parameter (see `bulk`). The phone number stands in `consumer`
only. Triggers that hold transitions, consents and the ledger append-only stand in the migration.
"""

from gateway.store.tables.base import metadata
from gateway.store.tables.books import balance_snapshot, entry, ledger_head, ledger_seal, leg, open_break, quarantine
from gateway.store.tables.catalogue import item, pay_code
from gateway.store.tables.fees import fee_schedule
from gateway.store.tables.merchants import (
    api_key,
    event,
    export,
    export_chunk,
    feed,
    idempotency,
    merchant,
    request_log,
    webhook_attempt,
    webhook_endpoint,
)
from gateway.store.tables.page import page_login, page_session
from gateway.store.tables.payments import (
    ask_pause,
    attempt,
    attempt_name,
    consent,
    fulfilment,
    limit_counter,
    payment,
    transition,
)
from gateway.store.tables.phones import (
    consumer,
    consumer_stop,
    message,
    message_part,
    mo,
    order_request,
    orphan_receipt,
    report,
)
from gateway.store.tables.reconciliation import carrier_file, carrier_match, remitted_attempt
from gateway.store.tables.refunds import dispute, refund
from gateway.store.tables.settlement import (
    account_change,
    claim,
    claim_mark,
    merchant_terms,
    payout,
    settlement,
    settlement_line,
)
from gateway.store.tables.ussd import consumer_pin, push, ussd_session
from gateway.store.tables.work import batch, lane, outbox, process, trace

__all__ = [
    "APPEND_ONLY",
    "account_change",
    "api_key",
    "ask_pause",
    "attempt",
    "attempt_name",
    "balance_snapshot",
    "batch",
    "carrier_file",
    "carrier_match",
    "claim",
    "claim_mark",
    "consent",
    "consumer",
    "consumer_pin",
    "consumer_stop",
    "dispute",
    "entry",
    "event",
    "export",
    "export_chunk",
    "fee_schedule",
    "feed",
    "fulfilment",
    "idempotency",
    "item",
    "lane",
    "ledger_head",
    "ledger_seal",
    "leg",
    "limit_counter",
    "merchant",
    "merchant_terms",
    "message",
    "message_part",
    "metadata",
    "mo",
    "open_break",
    "order_request",
    "orphan_receipt",
    "outbox",
    "page_login",
    "page_session",
    "pay_code",
    "payment",
    "payout",
    "process",
    "push",
    "quarantine",
    "refund",
    "remitted_attempt",
    "report",
    "request_log",
    "settlement",
    "settlement_line",
    "trace",
    "transition",
    "ussd_session",
    "webhook_attempt",
    "webhook_endpoint",
]

APPEND_ONLY = (
    "transition",
    "consent",
    "entry",
    "leg",
    "ledger_seal",
    "ledger_head",
    "fee_schedule",
    "event",
    "mo",
    "account_change",
)
"""Tables whose rows the database itself refuses to change or delete (`mo` rows may be deleted by age)."""

"""What the whole API, the limits and the phone's own keywords need: scopes, logs, exports, stops, counters, traces.

One row a delivered event becomes one row a try; what was delivered before is kept as its last try.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table, columns in ADDED.items():
        for name, kind, default in columns:
            column = sa.Column(name, kind, nullable=default is None, server_default=default)
            op.add_column(table, column)
    op.create_index("api_key_by_merchant", "api_key", ["merchant_id", "mode"])
    op.create_index("leg_by_account", "leg", ["account", "entry_id"])
    op.create_index(
        "payment_by_state",
        "payment",
        ["merchant_id", "mode", "state", "id"],
        sqlite_where=sa.text("state <> 'captured'"),
        postgresql_where=sa.text("state <> 'captured'"),
    )
    _part_simulated_phones()
    _make_attempts()
    _make_logs_and_exports()
    _make_limits()
    op.create_table(
        "balance_snapshot",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account", "mode", "currency"),
    )
    op.create_index("balance_snapshot_position", "balance_snapshot", ["position"])


ADDED = {
    "api_key": (
        ("name", sa.String(), ""),
        ("scopes", sa.Text(), '["all"]'),
        ("version", sa.String(), ""),
        ("revoked_at_ms", sa.BigInteger(), None),
        ("last_used_at_ms", sa.BigInteger(), None),
    ),
    "break": (
        ("resolved_by", sa.String(), ""),
        ("resolution", sa.Text(), ""),
    ),
    "quarantine": (
        ("resolved_at_ms", sa.BigInteger(), None),
        ("resolved_by", sa.String(), ""),
        ("resolution", sa.Text(), ""),
    ),
    "webhook_endpoint": (
        ("previous_secret", sa.String(), None),
        ("previous_until_ms", sa.BigInteger(), None),
    ),
    "payment": (("code_key", sa.String(), ""),),
    "consumer": (
        ("mode", sa.String(), "live"),
        ("answers_at_ms", sa.BigInteger(), None),
        ("answers_count", sa.Integer(), "0"),
        ("answers_minute_count", sa.Integer(), "0"),
        ("wrong_at_ms", sa.BigInteger(), None),
        ("wrong_count", sa.Integer(), "0"),
        ("locked_until_ms", sa.BigInteger(), None),
        ("more", sa.String(), ""),
        ("limit_minor", sa.BigInteger(), None),
        ("limit_currency", sa.String(), ""),
        ("limit_next_minor", sa.BigInteger(), None),
        ("limit_next_at_ms", sa.BigInteger(), None),
    ),
}


def _make_attempts() -> None:
    op.create_table(
        "webhook_attempt",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("endpoint_id", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.Column("took_ms", sa.Integer(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("webhook_attempt_by_event", "webhook_attempt", ["event_id"])
    op.create_index("webhook_attempt_by_endpoint", "webhook_attempt", ["endpoint_id", "status", "at_ms", "id"])
    op.create_index("webhook_attempt_age", "webhook_attempt", ["at_ms"])
    op.execute(
        "INSERT INTO webhook_attempt (id, event_id, endpoint_id, status, tries, took_ms, detail, at_ms)"
        " SELECT event_id || '-' || endpoint_id || '.' || tries, event_id, endpoint_id, status, tries, 0, detail, at_ms"
        " FROM webhook_delivery"
    )
    op.drop_table("webhook_delivery")


def _make_logs_and_exports() -> None:
    op.create_table(
        "request_log",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("merchant_id", sa.String(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("route", sa.String(), nullable=False),
        sa.Column("object_id", sa.String(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("idempotency_key", sa.String(), nullable=False),
        sa.Column("request_body", sa.Text(), nullable=False),
        sa.Column("response_body", sa.Text(), nullable=False),
        sa.Column("took_ms", sa.Integer(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("request_log_by_merchant", "request_log", ["merchant_id", "mode", "id"])
    op.create_table(
        "export",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("merchant_id", sa.String(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("row_count", sa.BigInteger(), nullable=False),
        sa.Column("reached", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("export_by_merchant", "export", ["merchant_id", "mode", "id"])
    op.create_index(
        "export_deleted",
        "export",
        ["id"],
        sqlite_where=sa.text("status = 'deleted'"),
        postgresql_where=sa.text("status = 'deleted'"),
    )
    op.create_table(
        "export_chunk",
        sa.Column("export_id", sa.String(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("export_id", "n"),
    )
    op.create_table(
        "trace",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("payment_id", sa.String(), nullable=True),
        sa.Column("carrier", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("trace_by_payment", "trace", ["payment_id"])


def _make_limits() -> None:
    op.create_table(
        "consumer_stop",
        sa.Column("consumer_id", sa.String(), nullable=False),
        sa.Column("merchant_id", sa.String(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("consumer_id", "merchant_id"),
    )
    op.create_table(
        "limit_counter",
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "subject", "mode", "currency", "period"),
    )
    op.create_table(
        "ask_pause",
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subject"),
    )


def _part_simulated_phones() -> None:
    """What the simulated and the real phone of one number had in common stays with the real one."""
    op.execute(
        "UPDATE consumer SET mode = 'test' WHERE id IN (SELECT consumer_id FROM payment WHERE mode = 'test')"
        " AND id NOT IN (SELECT consumer_id FROM payment WHERE mode = 'live')"
    )
    op.drop_index("consumer_msisdn", "consumer")
    op.create_index("consumer_msisdn", "consumer", ["msisdn", "mode", "generation"], unique=True)


MADE = (
    *("balance_snapshot", "ask_pause", "limit_counter", "consumer_stop", "trace", "export_chunk", "export"),
    *("request_log", "webhook_attempt"),
)


def downgrade() -> None:
    op.create_table(
        "webhook_delivery",
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("endpoint_id", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", "endpoint_id"),
    )
    for table in MADE:
        op.drop_table(table)
    op.drop_index("payment_by_state", "payment")
    op.drop_index("leg_by_account", "leg")
    op.drop_index("api_key_by_merchant", "api_key")
    op.drop_index("consumer_msisdn", "consumer")
    op.create_index("consumer_msisdn", "consumer", ["msisdn", "generation"], unique=True)
    for table, columns in ADDED.items():
        for name, _, _ in columns:
            op.drop_column(table, name)

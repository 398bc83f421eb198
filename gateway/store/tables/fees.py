"""Versions of fee schedules."""

from sqlalchemy import BigInteger, Column, Integer, String, Table, Text, UniqueConstraint

from gateway.store.tables.base import metadata

fee_schedule = Table(
    "fee_schedule",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("body", Text, nullable=False),  # JSON of a FeeSchedule
    Column("created_at_ms", BigInteger, nullable=False),
    UniqueConstraint("name", "version", name="fee_schedule_version"),
)

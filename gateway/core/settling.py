"""When a merchant's money is due, how much of it is kept back, and which line of the statement each part is.

A business day ends at the merchant's cut-off, in its own time zone: a day of 23 or 25 hours is one day. Nothing here
knows which entries there are.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from gateway.core import ledger
from gateway.core.payment import EntryKind

ANY_CARRIER: Final = "*"
MINUTES_A_DAY: Final = 24 * 60
BASIS_POINTS: Final = 10_000
WAIT_DAYS_MAX: Final = 60


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """On which terms a merchant is paid. The default is what holds for a merchant that has none."""

    zone: str = "UTC"
    cut_off_minute: int = 0
    """Minutes after midnight in *zone*; a day ends just before."""
    waits: Mapping[str, int | None] = {}
    """By carrier, "*" for all others: whole days after the day of the capture. None, or nothing said: once the
    carrier has remitted."""
    reserve_bps: int = 0
    reserve_days: int = 0
    minimum_minor: int = 0
    account_name: str = ""
    account: str = ""
    """An IBAN, or what the bank's country has instead."""
    bic: str = ""

    def wait(self, carrier: str) -> int | None:
        """None: after remittance."""
        return self.waits[carrier] if carrier in self.waits else self.waits.get(ANY_CARRIER)


class CutOff(msgspec.Struct, frozen=True):
    """The end of a business day."""

    day: date
    minute: int
    zone: str

    @property
    def at_ms(self) -> int:
        clock = time(self.minute // 60, self.minute % 60)
        # An hour that a zone leaves out or has twice: `fold` 0, the first of the two readings.
        return int(datetime.combine(self.day, clock, ZoneInfo(self.zone)).timestamp() * 1000)

    def days_before(self, days: int) -> "CutOff":
        return CutOff(self.day - timedelta(days=days), self.minute, self.zone)


def last_cut_off(terms: Terms, now_ms: int, *, until: date | None = None) -> CutOff:
    """The newest cut-off that is over at *now_ms*, and no later than that of the day *until*."""
    today = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(ZoneInfo(terms.zone)).date()
    cut_off = CutOff(min(today, until or today), terms.cut_off_minute, terms.zone)
    return cut_off if cut_off.at_ms <= now_ms else cut_off.days_before(1)


def reserve_of(net_minor: int, reserve_bps: int) -> int:
    """What is kept back of *net_minor*, rounded down; nothing of what the merchant owes."""
    return max(0, net_minor) * reserve_bps // BASIS_POINTS


PARTS: Final = (
    *("gross", "refunds", "disputes", "clawbacks", "adjustments"),
    *("carrier_share", "fees", "dispute_fees", "vat", "withholding"),
)
"""The lines of a settlement in the order of its statement; their sum is its net."""
_BY_KIND: Final[Mapping[str, str]] = {
    EntryKind.CAPTURE: "gross",
    EntryKind.ESCROW_RELEASED: "gross",
    EntryKind.REFUND_CREATED: "refunds",
    EntryKind.REFUND_SUCCEEDED: "refunds",
    EntryKind.REFUND_FAILED: "refunds",
    EntryKind.LATE_REFUND: "refunds",
    EntryKind.DISPUTE_OPENED: "disputes",
    EntryKind.DISPUTE_WON: "disputes",
    EntryKind.DISPUTE_LOST: "disputes",
    EntryKind.DISPUTE_FEE: "disputes",
    EntryKind.CLAWBACK: "clawbacks",
}
_BY_ACCOUNT: Final[Mapping[str, str]] = {
    ledger.FEE: "fees",
    ledger.DISPUTE_FEE: "dispute_fees",
    ledger.VAT: "vat",
    ledger.WITHHOLDING: "withholding",
}


class Sum(msgspec.Struct, frozen=True):
    """What the claimed entries of one kind moved on one account: debit > 0."""

    kind: str
    account: str
    amount_minor: int


def lines_of(pending: str, sums: list[Sum]) -> dict[str, int]:
    """The lines of the merchant whose account *pending* is, in its favour > 0.

    An entry has what it takes in fees as legs of their own: the gross line is what it would have moved without them.
    """
    lines: dict[str, int] = {}
    for one in sums:
        by_kind = _BY_KIND.get(one.kind, "adjustments")
        part = fee_part(one.account)
        if one.account == pending:
            _add(lines, by_kind, -one.amount_minor)
        elif part is not None:
            # A credit of the fee account took from the merchant, and the gross line gets it back.
            _add(lines, part, one.amount_minor)
            _add(lines, by_kind, -one.amount_minor)
    return {part: lines[part] for part in PARTS if lines.get(part)}


def fee_part(account: str) -> str | None:
    """The line that *account* is a part of, if it is one of fees and taxes."""
    if account.startswith("carrier:") and account.endswith(":share_payable"):
        return "carrier_share"
    return _BY_ACCOUNT.get(account)


def _add(lines: dict[str, int], part: str, amount_minor: int) -> None:
    lines[part] = lines.get(part, 0) + amount_minor

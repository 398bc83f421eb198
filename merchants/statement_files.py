"""A statement as CSV and as PDF, for whoever keeps the merchant's books."""

import csv
import io
from datetime import UTC, datetime
from typing import Final

from fpdf import FPDF

from gateway.core.money import exponent
from gateway.core.public import rfc3339
from gateway.store.statements import Statement
from merchants.payout_files import decimal

WORDS: Final = {
    "opening": "Opening balance",
    "gross": "Payments",
    "refunds": "Refunds",
    "disputes": "Disputes",
    "clawbacks": "Taken back by carriers",
    "adjustments": "Adjustments",
    "carrier_share": "Carriers' share",
    "fees": "Fees",
    "dispute_fees": "Lost disputes",
    "vat": "VAT on fees",
    "withholding": "Withholding tax",
    "reserve": "Kept in reserve",
    "reserve_released": "Reserve released",
    "payouts": "Payouts",
    "payouts_failed": "Payouts that failed or were cancelled",
    "payouts_returned": "Payouts that came back",
    "closing": "Closing balance",
}
CSV_COLUMNS: Final = ("statement", "created_at", "mode", "currency", "line", "amount", "exponent")


def rows_of(statement: Statement) -> list[tuple[str, int]]:
    """All lines, the closing balance included."""
    return [*statement.lines, ("closing", statement.closing_minor)]


def as_csv(statement: Statement) -> bytes:
    """One row a line; amounts in minor units."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(CSV_COLUMNS)
    about = (statement.id, rfc3339(statement.at_ms), statement.mode, statement.currency)
    for line, amount_minor in rows_of(statement):
        writer.writerow((*about, line, amount_minor, exponent(statement.currency)))
    return text.getvalue().encode()


def as_pdf(statement: Statement) -> bytes:
    """A page, or more for many payouts. The same statement is the same file."""
    page = FPDF()
    page.set_creation_date(datetime.fromtimestamp(statement.at_ms / 1000, UTC))
    page.set_title(statement.id)
    page.add_page()
    page.set_font("Helvetica", size=16)
    page.cell(text="Statement" if statement.mode == "live" else "Statement (test)", new_x="LMARGIN", new_y="NEXT")
    page.set_font("Helvetica", size=10)
    for words in _about(statement):
        page.multi_cell(w=0, text=_latin(words), new_x="LMARGIN", new_y="NEXT", h=6)
    page.ln(4)
    for line, amount_minor in rows_of(statement):
        page.cell(w=120, h=7, text=WORDS[line], border="T")
        amount = f"{decimal(amount_minor, statement.currency)} {statement.currency}"
        page.cell(w=60, h=7, text=amount, border="T", align="R", new_x="LMARGIN", new_y="NEXT")
    page.ln(4)
    page.set_font("Courier", size=7)
    page.cell(text=f"ledger head {statement.head_position} {statement.head_hash}")
    return bytes(page.output())


def _about(statement: Statement) -> tuple[str, ...]:
    return (
        statement.merchant_name,
        f"Statement {statement.id} of {rfc3339(statement.at_ms)}",
        f"Up to the cut-off at {rfc3339(statement.cut_off_ms)}",
        f"Payouts: {', '.join(statement.payout_ids) or 'none'}",
    )


def _latin(text: str) -> str:
    """The fonts that every reader has know no other letters."""
    return text.encode("latin-1", "replace").decode("latin-1")

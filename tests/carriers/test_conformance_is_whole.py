"""Nothing is left untried: no adapter, no capability that it declares, no knob of its simulator; the docs say so."""

import re

import msgspec
import pytest

from carriers import base
from carriers.wallet_momo.adapter import DIALECTS
from gateway.adapters import kinds
from simulators.faults import FAULTS
from tests.carriers.benches import BENCHES
from tests.carriers.knobs import IN_PARTS, LOOPBACK_KNOBS, PLAIN, SHEETS, Sheet
from tests.house.tree import ROOT

HOLDS = ("reserve", "capture", "release")


def test_every_biller_has_a_sheet_and_another_side() -> None:
    dialects = {f"wallet_momo {dialect}" for dialect in DIALECTS}
    assert set(SHEETS) == (set(kinds("Biller")) - {"wallet_momo"}) | dialects == set(BENCHES)


@pytest.mark.parametrize("biller", SHEETS)
async def test_every_capability_is_tried(biller: str) -> None:
    async with BENCHES[biller]() as bench:
        declared: base.Capabilities = bench.biller.capabilities
        # partial_refund, partial_capture and client_keyed decide inside the tests what is tried.
        numbers = {"hold_s", "max_processing_s", "currency_exponents"}  # Each adapter's own tests try the last.
        tried = {"client_keyed", "refund", "partial_refund", "holds", "partial_capture"}
        assert {field.name for field in msgspec.structs.fields(base.Capabilities)} == tried | numbers
        operations = ["charge", *["refund"] * declared.refund, *HOLDS * declared.holds]
        assert list(SHEETS[biller].rows) == operations
        assert isinstance(bench.biller, base.HoldingBiller) is declared.holds
        assert declared.holds or not declared.partial_capture
        assert declared.partial_capture == (biller in IN_PARTS)
        assert declared.refund or not declared.partial_refund


@pytest.mark.parametrize("biller", SHEETS)
def test_every_knob_of_its_simulator_is_tried(biller: str) -> None:
    """At every operation, and in every inquiry that there is about one."""
    sheet = SHEETS[biller]
    simulators = {point.partition(".")[0] for point in sheet.points.values()}
    offered = {point: set(faults) for point, faults in FAULTS.items() if point.partition(".")[0] in simulators}
    assert sheet.knobs == (offered or {"charge": set(LOOPBACK_KNOBS), "refund": set()})
    assert all(PLAIN in rows for rows in sheet.rows.values())
    assert all(knobs.keys() == sheet.inquiries["charge"].keys() for knobs in sheet.inquiries.values())


def test_every_simulator_of_a_biller_is_tried() -> None:
    tried = {point for sheet in SHEETS.values() for point in sheet.points.values()}
    assert tried == {point for point in FAULTS if not point.startswith(("smsc.", "twilio.", "ussd.", "sim."))}


def test_the_docs_say_how_many_knobs_are_tried() -> None:
    page = (ROOT / "docs" / "carriers.md").read_text("utf-8")
    table = page.partition("## What is tried")[2].partition("\n## ")[0]
    shown = [line for line in table.splitlines() if re.match(r"\| `", line)]
    assert shown == [row(biller, sheet) for biller, sheet in SHEETS.items()]


def row(biller: str, sheet: Sheet) -> str:
    orders = [str(len(sheet.rows[name]) - 1) if name in sheet.rows else "–" for name in ("charge", "refund", *HOLDS)]
    asked = [f"{len(knobs)}" if knobs else "–" for knobs in (sheet.inquiries.get("charge"), sheet.tokens)]
    about = ", ".join({"reserve": "hold"}.get(name, name) for name in sheet.inquiries)
    called = "yes" if sheet.points else "–"
    return f"| `{biller}` | {' | '.join(orders)} | {asked[0]} | {about} | {asked[1]} | {called} |"

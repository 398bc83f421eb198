"""Journals: what is written is read back, in order, with one sequence for all of them."""

from decimal import Decimal
from pathlib import Path

from simulators.journal import Journals, executed_charges, executed_refunds, read


def test_records_are_read_back_in_order_with_one_sequence(tmp_path: Path) -> None:
    journals = Journals(tmp_path)
    journals.smsc.write("mo", msisdn="+254700000100", text="jambo ☕")
    journals.billing.write("denied", correlator="a", msisdn="+254700000100", reason="barred")
    journals.smsc.write("receipt", msisdn="+254700000100")
    journals.close()
    records = [*read(tmp_path, "smsc"), *read(tmp_path, "billing")]
    assert [(one["kind"], one["seq"]) for one in records] == [("mo", 1), ("receipt", 3), ("denied", 2)]
    assert records[0]["text"] == "jambo ☕"
    assert records[0]["ns"] < records[2]["ns"] < records[1]["ns"]
    assert read(tmp_path, "smsc", "receipt") == [records[1]]


def test_a_line_that_is_still_being_written_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "billing.jsonl").write_bytes(b'{"kind":"request"}\n{"kind":"execut')
    assert read(tmp_path, "billing") == [{"kind": "request"}]


def test_nothing_written_reads_as_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, "merchant") == []
    assert executed_charges(tmp_path) == []


def test_without_a_folder_only_counts_are_kept() -> None:
    journals = Journals(None)
    journals.billing.write("request", what="charge")
    journals.billing.write("request", what="charge")
    journals.close()
    assert journals.counts()["billing"] == {"request": 2}


def test_a_listener_sees_every_record_even_without_a_folder() -> None:
    journals = Journals(None)
    seen: list[tuple[str, str]] = []
    journals.listeners.append(lambda name, record: seen.append((name, record["kind"])))
    journals.handsets.write("sent", msisdn="+254700000100")
    assert seen == [("handsets", "sent")]


def test_executed_money_is_split_into_charges_and_refunds(tmp_path: Path) -> None:
    journals = Journals(tmp_path)
    money = {"msisdn": "+254700000100", "currency": "KES", "reference": "r"}
    journals.billing.write("executed.charge", correlator="c", amount="12.50", server_reference="S1", **money)
    journals.billing.write(
        "executed.refund", correlator="d", amount="2.50", server_reference="S2", original="c", **money
    )
    journals.close()
    (charge,), (refund,) = executed_charges(tmp_path), executed_refunds(tmp_path)
    assert (charge.correlator, charge.amount, charge.original) == ("c", Decimal("12.50"), None)
    assert (refund.correlator, refund.amount, refund.original) == ("d", Decimal("2.50"), "c")

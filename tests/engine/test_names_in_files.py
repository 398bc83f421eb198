"""Files that name an order as the carrier does: by the first word that it told, by the last, and by a part of it; and
rows that are about another order than they seem.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from carriers import base
from carriers.wallet_momo.adapter import Biller as MomoBiller
from carriers.wallet_momo.adapter import Settings as MomoSettings
from carriers.wallet_stk.adapter import Biller
from gateway.core.money import Money
from gateway.engine.carrier_jobs import CallbackRead
from gateway.engine.refund_jobs import RefundDone
from tests.engine.file_bench import BY_REFERENCE, FILES, LINES, Bench, a_bench, today
from tests.store.bench import PHONE, a_captured_payment, applied, rows
from tests.store.refund_bench import a_refund, refunded

pytestmark = pytest.mark.money

PRICE = Money(125_000, "KES")
PUSH, RECEIPT = "ws_CO_0101", "NLJ7RT61SV"
IN_FULL = f"{PUSH}/{RECEIPT}/125000"
WHERE_TO_ASK = "/requeststates/8f6dc2a2-1c1b-4f62-9f52-6a2a0a9f1b11"
GSMA = MomoSettings(dialect="gsma", base_url="http://127.0.0.1:1", user="gateway", password="secret", receiver="shop")


@pytest.fixture
def bench(database_url: str, tmp_path: Path) -> Iterator[Bench]:
    with a_bench(database_url, tmp_path, names_in_files={"acme": Biller.names_in_files}) as opened:
        yield opened


@pytest.fixture
def gsma(database_url: str, tmp_path: Path) -> Iterator[Bench]:
    naming = MomoBiller("acme", GSMA, now_ms=lambda: 0).names_in_files
    with a_bench(database_url, tmp_path, names_in_files={"acme": naming}) as opened:
        yield opened


def told(bench: Bench, *lines: str) -> dict[str, int]:
    """What came of a file that has the carrier's references only."""
    path = bench.folder / f"ref_{today()}.txt"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    found = bench.take(path, BY_REFERENCE).found
    return {"matched": found.matched, "resolved": found.resolved} | found.breaks


def called_back(bench: Bench, attempt_id: str, reference: str) -> None:
    callback = base.Callback(carrier="acme", attempt_id=attempt_id, carrier_reference=reference, authenticated=True)
    applied(bench.store, CallbackRead(callback))


def test_what_a_carrier_called_an_order_that_still_runs_finds_it(bench: Bench) -> None:
    order = bench.order("1")
    bench.answer(order, base.Pending(detail="accepted", carrier_reference="SR77"))
    assert told(bench, "SR77;1250.00;OK") == {"matched": 1, "resolved": 1}
    assert bench.state(order.body["attempt_id"]) == "captured"


@pytest.mark.parametrize("name", [PUSH, RECEIPT])
def test_a_wallets_row_finds_its_order_by_the_push_and_by_the_receipt(bench: Bench, name: str) -> None:
    bench.answer(bench.order("1"), base.Charged(carrier_reference=IN_FULL, amount=PRICE))
    assert told(bench, f"{name};1250.00;OK") == {"matched": 1, "resolved": 0}


@pytest.mark.parametrize("is_late", [False, True], ids=["before the end", "after the end"])
def test_a_receipt_that_a_callback_tells_finds_the_order_and_stays_with_it(bench: Bench, is_late: bool) -> None:
    order = bench.order("1")
    attempt_id = order.body["attempt_id"]
    bench.answer(order, base.Pending(detail="accepted", carrier_reference=PUSH))
    if is_late:
        bench.answer(order, base.Charged(carrier_reference=PUSH, amount=PRICE))
    called_back(bench, attempt_id, IN_FULL)
    assert told(bench, f"{RECEIPT};1250.00;OK") == {"matched": 1, "resolved": int(not is_late)}
    [kept] = rows(
        bench.url,
        "SELECT a.carrier_reference AS of_order, p.carrier_reference AS of_payment FROM attempt a"
        " JOIN payment p ON p.id = a.payment_id",
    )
    assert (kept.of_order, kept.of_payment) == (IN_FULL, IN_FULL), "who reverses it needs all that was told"


def test_what_an_answer_tells_less_of_is_not_forgotten(bench: Bench) -> None:
    order = bench.order("1")
    bench.answer(order, base.Pending(detail="accepted", carrier_reference=PUSH))
    called_back(bench, order.body["attempt_id"], IN_FULL)
    bench.answer(order, base.Charged(carrier_reference=PUSH, amount=PRICE))
    assert told(bench, f"{RECEIPT};1250.00;OK") == {"matched": 1, "resolved": 0}


def test_a_refund_is_found_by_what_it_was_called_while_it_ran(bench: Bench) -> None:
    payment = a_captured_payment(bench.store)
    order = refunded(bench.store, payment, 30_000)
    applied(bench.store, RefundDone(order, base.Pending(detail="accepted", carrier_reference="RF1")))
    found = told(bench, f"{payment.carrier_reference};1250.00;OK", "RF1;300.00;REFUND")
    assert found == {"matched": 2, "resolved": 1}


def test_a_row_that_calls_an_order_otherwise_than_the_carrier_did_is_a_break_and_ends_nothing(bench: Bench) -> None:
    paid = bench.charge("1")
    order = bench.order("2")
    bench.answer(order, base.Pending(detail="accepted", carrier_reference="SR2"))
    path = bench.file(f"{paid},SR2,1250.00,KES,OK,", f"{order.body['attempt_id']},SR1,1250.00,KES,OK,")
    found = bench.take(path).found
    assert (found.matched, found.resolved, dict(found.breaks)) == (0, 0, {"mismatch": 2})
    assert bench.state(order.body["attempt_id"]) == "charging"
    [first, _] = rows(bench.url, "SELECT detail FROM \"break\" WHERE kind = 'mismatch' ORDER BY detail")
    assert first.detail.endswith("the file calls it SR2, and the carrier called it SR1")


@pytest.mark.parametrize("learned", [WHERE_TO_ASK, None], ids=["where to ask", "nothing"])
def test_a_file_names_an_order_of_which_the_carrier_has_told_no_name(gsma: Bench, learned: str | None) -> None:
    order = gsma.order("1")
    gsma.answer(order, base.Pending(detail="accepted", carrier_reference=learned))
    report = gsma.take(gsma.file(f"{order.body['attempt_id']},TX1,1250.00,KES,OK,"))
    assert (report.found.matched, report.found.resolved, gsma.breaks()) == (1, 1, {})
    assert gsma.state(order.body["attempt_id"]) == "captured"
    assert the_charge_that_is_given_back(gsma) == "TX1"
    again = replace(BY_REFERENCE, pattern="again_{date}.txt")
    path = gsma.folder / f"again_{today()}.txt"
    path.write_text("TX1;1250.00;REV\n", encoding="utf-8")
    assert gsma.take(path, again).found.resolved == 1


@pytest.mark.parametrize("learned", [WHERE_TO_ASK, None], ids=["where to ask", "nothing"])
def test_a_file_that_names_no_order_as_the_carrier_does_makes_up_no_name(gsma: Bench, learned: str | None) -> None:
    order = gsma.order("1")
    gsma.answer(order, base.Pending(detail="accepted", carrier_reference=learned))
    path = gsma.folder / f"{today()}.jsonl"
    path.write_text(f'{{"id":"{order.body["attempt_id"]}","minor":125000,"state":"OK"}}\n', encoding="utf-8")
    gsma.take(path, LINES)
    assert gsma.state(order.body["attempt_id"]) == "captured"
    assert the_charge_that_is_given_back(gsma) == learned


def the_charge_that_is_given_back(bench: Bench) -> str | None:
    """By which reference a refund of the only payment names it."""
    [payment] = rows(bench.url, "SELECT id FROM payment")
    made = applied(bench.store, a_refund(payment.id, 30_000)).rows
    [order] = [row for row in made if row.kind == "refund"]
    reference = order.body["carrier_reference"]
    return None if reference is None else str(reference)


def test_a_refund_may_be_told_under_its_charges_name_or_its_own(bench: Bench) -> None:
    payment = a_captured_payment(bench.store)
    for key in ("r-1", "r-2"):
        order = refunded(bench.store, payment, 30_000, key)
        applied(bench.store, RefundDone(order, base.Charged(carrier_reference=f"RF{key}", amount=Money(30_000, "KES"))))
    told_as = (f"{payment.attempt_id},{name},-300.00,KES,REFUND," for name in (payment.carrier_reference, "RFr-2"))
    report = bench.take(bench.file(f"{payment.attempt_id},{payment.carrier_reference},1250.00,KES,OK,", *told_as))
    assert (report.found.matched, bench.breaks()) == (3, {})


@pytest.mark.parametrize(
    ("written", "is_ours"),
    [
        (f"{PHONE[:-4]}0001", True),
        (f"00{PHONE[1:-4]}0001", True),
        (f"0{PHONE[4:-4]}0001", True),
        (f"{PHONE[1:-4]}****", True),
        (f"{PHONE[:-4]}0002", False),
        (f"0{PHONE[4:-4]}0002", False),
    ],
    ids=["E.164", "with zeros", "national", "masked", "another", "another, national"],
)
def test_a_row_about_another_phone_is_a_break_that_shows_no_number(bench: Bench, written: str, is_ours: bool) -> None:
    paid = bench.charge("1")
    path = bench.file(f"{paid},SR1,1250.00,KES,OK,{written}")
    columns = {name: column for name, column in FILES.columns.items() if name != "fee"} | {"msisdn": "fee"}
    found = bench.take(path, replace(FILES, columns=columns)).found
    assert (found.matched, dict(found.breaks)) == ((1, {}) if is_ours else (0, {"mismatch": 1}))
    for row in rows(bench.url, 'SELECT detail FROM "break"'):
        assert row.detail.endswith("the file has another phone's number than +254*****001")
        assert "0002" not in row.detail

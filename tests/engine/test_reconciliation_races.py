"""A carrier's file beside everybody else who learns what became of a charge: whoever is first, it is told once."""

import threading
from pathlib import Path

import pytest
from msgspec.structs import replace

from carriers import base
from gateway.core.money import Money
from gateway.engine import reconciliation
from gateway.engine.carrier_jobs import OrderDone
from tests.engine.file_bench import a_bench
from tests.store.bench import POLICY, a_store, applied, rows

PAYMENTS = 12


@pytest.mark.money
def test_a_file_and_the_carriers_answers_at_once_capture_each_payment_once(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciliation, "ROWS_MAX", 1)
    with a_bench(postgres_url, tmp_path) as bench:
        orders = [bench.order(str(n)) for n in range(1, PAYMENTS + 1)]
        lines = [f"{order.body['attempt_id']},SR{n},1250.00,KES,OK," for n, order in enumerate(orders)]
        wrong: list[BaseException] = []

        def answer() -> None:
            # As another process of the gateway hears it, from inquiries or callbacks.
            try:
                with a_store(postgres_url, replace(POLICY, modes={"acme": "test"})) as store:
                    for n, order in reversed(list(enumerate(orders))):
                        yes = base.Charged(carrier_reference=f"SR{n}", amount=Money(125_000, "KES"))
                        applied(store, OrderDone(order, yes))
            except BaseException as error:  # noqa: BLE001 - told below, in the test's own thread.
                wrong.append(error)

        beside = threading.Thread(target=answer)
        beside.start()
        report = bench.take(bench.file(*lines, trailer=f"T,{PAYMENTS},,15000.00"))
        beside.join()
        assert wrong == []
        assert (report.found.matched, report.found.breaks.total()) == (PAYMENTS, 0)
    kinds = rows(postgres_url, "SELECT kind, count(*) AS n FROM entry GROUP BY kind ORDER BY kind")
    assert [(row.kind, row.n) for row in kinds] == [("capture", PAYMENTS), ("remittance", 1)]
    told = rows(postgres_url, "SELECT count(*) AS n FROM event WHERE type = 'payment.succeeded'")
    assert told[0].n == PAYMENTS

"""What operators see of reports: how many by merchant, and each of one."""

from pathlib import Path

from gateway.config import read
from tests.cli.commands import CODE_KEY, Here
from tests.consumer.bench import add_shops, texted
from tests.store.bench import PHONE, Odd, a_create, a_store, applied


def test_reports_are_counted_by_merchant_and_listed_without_numbers(gateway: Here, config: Path) -> None:
    url = read(config, {"GATEWAY_CODE_KEY": CODE_KEY})[0].gateway.database
    phones = (PHONE, "+254700000002", "+254700000003")
    with a_store(url) as store:
        applied(store, Odd(add_shops))
        for n, phone in enumerate(phones):
            applied(store, a_create(f"k-{n}", msisdn=phone), texted("REPORT", phone))
        applied(store, a_create("k-j", merchant_id="mer_2"), texted("REPORT"))
    listed = gateway("reports", "list", "--config", config)
    first, second, last = listed.out.splitlines()
    assert first.startswith("mer_1 test Mama Asha: 3 reports by 3 phones, last ")
    assert (
        second.startswith("mer_2 test Juma Spares: 1 reports by 1 phones, last ") and last == "2 merchants in 30 days"
    )
    each = gateway("reports", "list", "--merchant", "mer_1", "--days", "7", "--config", config)
    assert each.out.count("KES 1,250.00 found pending, now ended Vegetable box\n") == 3
    assert each.out.endswith("3 reports in 7 days\n") and not any(phone in each.out for phone in phones)
    assert gateway("reports", "list", "--merchant", "mer_9", "--config", config).out == "0 reports in 30 days\n"

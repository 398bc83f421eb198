"""`gateway merchant terms` takes what can be meant and says what it expected otherwise."""

from pathlib import Path

import pytest

from gateway.core.settling import Terms
from gateway.store.api_keys import merchant_ids
from gateway.store.terms import read_terms
from tests.cli.commands import Finished, Here
from tests.stores import reading


def terms(gateway: Here, config: Path, *words: str, merchant: str = "ASHA") -> Finished:
    of = ("--config", str(config))
    gateway("merchant", "add", *of, "--name", "Asha Ltd", "--shop", "ASHA", "--keyword", "ASHA")
    return gateway("merchant", "terms", *of, "--merchant", merchant, *words)


def test_terms_are_kept_whole(gateway: Here, config: Path, sqlite_url: str) -> None:
    days = ("--zone", "Africa/Nairobi", "--cut-off", "18:30", "--wait", "acme=2", "--wait", "*=after_remittance")
    money = ("--reserve-percent", "2.5", "--reserve-days", "30", "--minimum-minor", "1000")
    account = ("--account-name", "Asha", "--account", "de89 3704 0044 0532 0130 00", "--bic", "cobadeffxxx")
    assert terms(gateway, config, *days, *money, *account).code == 0
    with reading(sqlite_url) as conn:
        kept = read_terms(conn, merchant_ids(conn, "ASHA")[0])
    assert kept == Terms(
        zone="Africa/Nairobi",
        cut_off_minute=18 * 60 + 30,
        waits={"acme": 2, "*": None},
        reserve_bps=250,
        reserve_days=30,
        minimum_minor=1_000,
        account_name="Asha",
        account="DE89370400440532013000",
        bic="COBADEFFXXX",
    )


@pytest.mark.parametrize(
    "wrong",
    [
        *(("--zone", "Mars/Base"), ("--cut-off", "24:00"), ("--reserve-percent", "101")),
        *(("--wait", "acme=x"), ("--wait", "acmee=5"), ("--wait", "=5")),
        ("--account-name", "", "--account", "1100"),
        ("--account-name", "Asha\x0bLtd", "--account", "1100"),
        ("--account", "DE88370400440532013000", "--account-name", "Asha"),
        ("--account", "", "--account-name", "Asha"),
        ("--bic", "x y", "--account", "1100", "--account-name", "Asha"),
    ],
    ids=" ".join,
)
def test_terms_that_cannot_be_meant_are_refused(gateway: Here, config: Path, wrong: tuple[str, ...]) -> None:
    refused = terms(gateway, config, *wrong)
    assert refused.code == 2
    assert refused.complaint().startswith(f"{wrong[0]}: expected")


def test_a_merchant_that_nobody_knows_has_no_terms(gateway: Here, config: Path) -> None:
    assert terms(gateway, config, merchant="JUMA").code == 2


def test_what_is_advanced_and_paid_out_is_nothing_at_first(gateway: Here, config: Path) -> None:
    assert gateway("settlement", "advanced", "--config", str(config)).out == "nothing is advanced\n"
    assert gateway("payouts", "status", "--config", str(config)).out == "0 payouts\n"

"""What operators type about disputes: list, open, decide."""

from pathlib import Path

import pytest

from tests.cli.commands import CODE_KEY, Here
from tests.cli.test_payment_show import payment_id


@pytest.mark.money
def test_a_dispute_is_opened_listed_and_decided_once(
    gateway: Here, paid: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_CODE_KEY", CODE_KEY)
    config = ("--config", paid / "gateway.toml")
    opened = gateway("dispute", "open", payment_id(paid), *config)
    assert opened.code == 0, opened.err
    dispute_id = opened.out.split()[0]
    again = gateway("dispute", "open", payment_id(paid), *config)
    assert (again.code, again.err) == (1, f"gateway: {payment_id(paid)}: nothing of it can be disputed\n")
    listed = gateway("dispute", "list", *config).out
    assert listed.startswith(f"{dispute_id} {payment_id(paid)} open ") and listed.endswith("1 open disputes\n")
    decide = ("dispute", "decide", dispute_id, "won", "--note", "seen the\nsignature", *config)
    assert gateway(*decide).out.endswith("| seen the signature\n")
    assert gateway(*decide).code == 1
    assert gateway("dispute", "list", *config).out == "0 open disputes\n"
    assert gateway("dispute", "decide", dispute_id, "drawn", "--note", "x", *config).code == 2
    assert gateway("ledger", "verify", *config).code == 0

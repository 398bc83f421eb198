"""The foreign programs that ours are tried with are really there; what may be missing is said aloud."""

import os
import subprocess

import pytest

from tests.peers import chromium
from tests.peers.net_smpp import net_smpp_perl5lib


def test_perl_loads_net_smpp() -> None:
    environment = {**os.environ, "PERL5LIB": net_smpp_perl5lib()}
    version = subprocess.run(
        ("perl", "-MNet::SMPP", "-e", "print Net::SMPP->VERSION"), env=environment, stdout=subprocess.PIPE, check=True
    )
    assert version.stdout.decode().startswith("1.")


def test_chromium_may_be_missing_only_where_somebody_said_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nowhere() -> None:
        raise chromium.ChromiumMissing("chromium: not to be had")

    monkeypatch.setattr(chromium, "fetch", nowhere)
    monkeypatch.setenv("NO_CHROMIUM", "0")
    with pytest.raises(pytest.fail.Exception, match=r"not to be had \(NO_CHROMIUM=1 skips"):
        chromium.chromium()
    monkeypatch.setenv("NO_CHROMIUM", "1")
    with pytest.raises(pytest.skip.Exception, match="NO_CHROMIUM=1"):
        chromium.chromium()
    assert chromium.main() == 0 and "NO_CHROMIUM=1: the statement page is not tried" in capsys.readouterr().out

"""The foreign peer that our SMSC is tried with is really there."""

import os
import subprocess

from tests.peers.net_smpp import net_smpp_perl5lib


def test_perl_loads_net_smpp() -> None:
    environment = {**os.environ, "PERL5LIB": net_smpp_perl5lib()}
    version = subprocess.run(
        ("perl", "-MNet::SMPP", "-e", "print Net::SMPP->VERSION"), env=environment, stdout=subprocess.PIPE, check=True
    )
    assert version.stdout.decode().startswith("1.")

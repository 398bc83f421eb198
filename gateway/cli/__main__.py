"""`python -m gateway.cli`: the command line where no script `gateway` is installed."""

from gateway.cli import main

main()

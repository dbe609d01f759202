"""`python -m replication.cli`: the command line without its console script."""

from replication.cli import main

main()

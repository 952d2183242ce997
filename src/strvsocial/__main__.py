"""`python -m strvsocial` is the console script."""

from strvsocial.cli import main

main()

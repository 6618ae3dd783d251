"""``python -m shared.cli``: the same as ``lectern``."""

from shared.cli.main import main

main(prog_name="lectern")

"""``python -m tests.benchmarks``: what ``make bench`` runs."""

from __future__ import annotations

import sys

from tests.benchmarks.run import main

sys.exit(main())

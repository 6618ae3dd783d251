"""``python -m tests.mutations``: what ``make mutations`` runs."""

from __future__ import annotations

import sys

from tests.mutations.run import main

sys.exit(main())

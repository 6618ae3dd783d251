"""``make check-terraform``: every check of ``terraform/``, with times, and one line of counts at the end."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.terraform.workspace import SPENT


class Counts:
    """Outcomes of the tests."""

    def __init__(self) -> None:
        self.passed = self.failed = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed += 1
        elif report.when == "call" and report.passed:
            self.passed += 1


def main(arguments: list[str]) -> int:
    counts = Counts()
    folder = str(Path(__file__).parent)
    code = pytest.main(["-n", "0", "--e2e", "--no-summary", folder, *arguments], plugins=[counts])
    for line in SPENT.lines():
        print(line)
    print(f"check-terraform: {counts.passed} passed, {counts.failed} failed")
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

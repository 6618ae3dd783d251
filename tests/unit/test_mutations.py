"""The catalogue of mutations, against the code as it is now."""

from __future__ import annotations

import pytest

from tests.mutations.catalogue import CATALOGUE
from tests.mutations.mutation import Mutation
from tests.mutations.run import ROOT


@pytest.mark.parametrize("mutation", CATALOGUE, ids=lambda one: f"{one.adapter}: {one.breaks}")
def test_a_mutation_can_still_be_made(mutation: Mutation) -> None:
    """A check that was weakened would go unnoticed, because its mutation no longer fits the code."""
    mutation.applied((ROOT / mutation.file).read_text(encoding="utf-8"))

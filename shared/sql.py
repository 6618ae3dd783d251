"""Names and values as SQL writes them, whatever is in them."""

from __future__ import annotations

from shared.ports.database import SequenceState, TableShape


def identifier(name: str) -> str:
    """``name`` in double quotes."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """``text`` as a string."""
    quoted = text.replace("'", "''")
    return "E'" + quoted.replace("\\", "\\\\") + "'" if "\\" in text else f"'{quoted}'"


def full_name(schema: str, name: str) -> str:
    """A name in its schema."""
    return f"{identifier(schema)}.{identifier(name)}"


def copy_target(table: TableShape) -> str:
    """The table and its columns, as COPY wants them."""
    columns = ", ".join(identifier(column) for column in table.columns)
    name = full_name(table.schema, table.name)
    return f"{name} ({columns})" if columns else name


def set_sequence(sequence: SequenceState) -> str:
    """The statement that brings a sequence to its state."""
    name = literal(full_name(sequence.schema, sequence.name))
    called = "true" if sequence.called else "false"
    return f"SELECT setval({name}::regclass, {sequence.value}, {called})"

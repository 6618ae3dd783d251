"""``lectern``: the command line. Each command's module is loaded when it is called."""

from __future__ import annotations

from importlib import import_module

import click

COMMANDS = {
    "run": "Serve Lectern on this machine, with the handbook as a sample.",
    "ask": "Ask a question and print the answer with its links.",
    "ingest": "Bring the index to what a site says now.",
    "generations": "List the generations of the index, or go back to an earlier one.",
    "eval": "Score retrieval on a folder of golden questions.",
    "report": "Show what readers ask and the documentation does not answer.",
    "status": "Show what is indexed and whether every part answers.",
    "backup": "Cut a recovery point: database, vectors and configuration.",
    "backups": "List the recovery points, and decide which ones stay.",
    "drill": "Rehearse a restore in a sealed room.",
    "restore": "Bring back what was lost, from a recovery point.",
    "verify": "Read a recovery point to its end: is it whole?",
    "unpack": "Write a recovery point's database as files that psql restores.",
    "repair": "Make again what is missing or damaged in the index.",
    "migrate": "Bring the database to the schema of this code.",
    "release": "Bring a new version to readers, in steps, and see where it stands.",
    "rollback": "Take readers back to the release before.",
    "keys": "Manage the API keys of access mode `key`.",
    "spool": "Replay what Postgres could not take.",
    "config": "Show the settings in force.",
    "reset": "Delete the embedded stack's data.",
}


class LazyGroup(click.Group):
    """Loads a command when it is named, so that help and completion stay quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if name not in COMMANDS:
            return None
        command = import_module(f"shared.cli.{name}_command").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="lectern", prog_name="lectern")
def main() -> None:
    """Answers readers' questions from a documentation site, with proof.

    \b
    Start with:   lectern run
    Then:         lectern ask "how do I restore a backup?"

    Settings come from config/<environment>.yaml and the environment; see `lectern config`.
    Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 the documentation does not say.
    """  # noqa: D301 - click wants the character itself


if __name__ == "__main__":  # what a job's container runs
    main(prog_name="lectern")

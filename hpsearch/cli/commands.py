"""Groups of commands: their help, and what they suggest for a command that they do not have."""

from collections.abc import Iterator
from typing import Any, Final, final

from typer.core import TyperGroup

MOST_CHARACTERS: Final = 500
"""The longest first sentence of a command's help that a list of commands shows; each is shown whole."""


@final
class CommandGroup(TyperGroup):
    """A Typer group that lists commands with whole sentences and finds the noun of a verb: `hpsearch run`."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each command with the first sentence of its help, wrapped instead of cut."""
        commands = ((name, self.commands[name]) for name in self.list_commands(ctx))
        rows = [
            (name, known.get_short_help_str(MOST_CHARACTERS)) for name, known in commands if not known.hidden
        ]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that `args` begin with; name those of other groups in the error for an unknown one."""
        root = ctx.find_root()
        elsewhere = [words for words in _words(root.command) if words[-1] == args[0]]
        if args[0] not in self.commands and elsewhere:
            meant = " or ".join(f"'{root.info_name} {' '.join(words)}'" for words in elsewhere)
            ctx.fail(f"No such command {args[0]!r}. Did you mean {meant}?")
        return super().resolve_command(ctx, args)


def _words(group: Any, *before: str) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command below `group`."""
    for name, command in group.commands.items():
        words = (*before, name)
        if isinstance(command, TyperGroup):
            yield from _words(command, *words)
        else:
            yield words

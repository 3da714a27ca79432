"""The entry point: what all commands share, and what becomes of an error.

In: arguments. Out: an exit code. 0: done.  1: refused, or faults were found.  2: the command line itself is wrong.
Results go to standard output, errors to standard error; with `--json`, either is one JSON object on standard output.
"""

from __future__ import annotations

import gc
import os
import re
import sys
from collections.abc import Sequence
from typing import Annotated, cast

import typer

from jmpc import __version__
from jmpc.command import client, cluster, party, programs
from jmpc.command.demo import demo
from jmpc.command.doctor import examine
from jmpc.command.printing import JSON_FLAG, print_error
from jmpc.command.run import run as run_script
from jmpc.command.submit import status, submit
from jmpc.errors import ConfigError, JMPCError

OK, REFUSED, USAGE = 0, 1, 2
_TYPED = re.compile("--[a-z-]+|[A-Z]+")  # where an error is in an option, or in an argument by its name
_HELP = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(
    name="jmpc",
    help="Secure multi-party computation for JAX.",
    context_settings=_HELP,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.add_typer(cluster.app, name="cluster", context_settings=_HELP)
app.add_typer(party.app, name="party", context_settings=_HELP)
app.add_typer(client.app, name="client", context_settings=_HELP)
app.add_typer(programs.app, name="programs", context_settings=_HELP)
app.command(context_settings=_HELP)(demo)
app.command(name="doctor", context_settings=_HELP)(examine)
app.command(context_settings=_HELP)(programs.inspect)
app.command(context_settings=_HELP)(programs.cost)
app.command(context_settings=_HELP)(run_script)
app.command(context_settings=_HELP)(submit)
app.command(context_settings=_HELP)(status)
# `UsageError`, of whichever click typer has: newer versions of typer hold one of their own.
_Usage = cast("type[Exception]", typer.BadParameter.__mro__[1])


@app.callback(invoke_without_command=True)
def common(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


def run(arguments: Sequence[str]) -> int:
    """Run one command; its exit code. Whatever jmpc refuses is printed, never raised."""
    command = typer.main.get_command(app)
    try:
        code = command.main(args=list(arguments), prog_name="jmpc", standalone_mode=False)
        return code if isinstance(code, int) else OK
    except typer.Abort:
        error, code = ConfigError("stopped", why="nothing was changed"), REFUSED
    except _Usage as exc:
        error, code = _usage(exc), USAGE
    except JMPCError as exc:
        error, code = exc, USAGE if _TYPED.fullmatch(exc.where) else REFUSED
    print_error(error, JSON_FLAG in arguments)
    return code


def _usage(exc: Exception) -> ConfigError:
    """What typer says of a command line, in the words of jmpc."""
    context = cast("typer.Context | None", getattr(exc, "ctx", None))
    path = context.command_path if context else "jmpc"
    message = cast("typer.BadParameter", exc).format_message()
    return ConfigError(
        " ".join(message.split()).rstrip("."), where=f"the command line of {path}", todo=f"{path} --help"
    )


def main() -> None:
    """Run the command of this process's arguments, and end the process."""
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # of `jmpc ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = REFUSED
    gc.collect()  # what a script of `jmpc run` left open is closed
    gc.freeze()  # else the interpreter's end looks through all that JAX leaves, again and again
    sys.exit(code)

"""A search that is called from Python, as ``search.search`` does, instead of from the command line."""

from __future__ import annotations

import argparse
import contextlib
import io
import threading

from leukemia.base import cli
from leukemia.base.errors import FAILURE, INTERRUPTED, UserError
from leukemia.base.logs import StderrHandler, logging_to
from leukemia.base.provenance import command_line
from leukemia.study.results import StudyResults
from search.cluster.variables import check_environment
from search.launch.arguments import parse, request_of
from search.launch.options import Options, Paths, arguments_of
from search.planning.plan import new_name
from search.planning.resumption import study_to_resume


class SearchFailed(RuntimeError):
    """A search ended early, through a fault of the machine or an internal error; it can be resumed."""


def call(data: Paths | None, options: Options) -> StudyResults:
    """Run a search, and return its study; arguments and errors as of ``search.search``."""
    if threading.current_thread() is not threading.main_thread():
        raise UserError("search.search: expected the main thread, which alone receives Ctrl-C; call it there")
    argv = arguments_of(data, options)
    arguments = _parsed(argv)
    check_environment()
    if arguments.study is None:
        # The name is needed to find the study afterwards.
        arguments.study = study_to_resume(request_of(arguments)).name if arguments.resume else new_name()

    # Imports Ray, which the environment may not allow.
    from search.launch.search import search

    try:
        with logging_to(StderrHandler()):
            status = search(arguments, command_line("search.run", argv))
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else FAILURE
    if status == INTERRUPTED:
        raise KeyboardInterrupt
    if status == FAILURE:
        raise SearchFailed("the search ended early; the reason is printed above")
    return StudyResults(arguments.runs / arguments.study)


def _parsed(argv: list[str]) -> argparse.Namespace:
    """The arguments as the command reads them; what it would print and exit with is an error instead."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            return parse(argv)
    except SystemExit:
        raise UserError(printed.getvalue().rstrip().removeprefix("error: ").removesuffix(cli.SEE_HELP)) from None

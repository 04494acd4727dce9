"""``python -m leukemia.final --best``: retrain the winner on all training images, test it, and write ``final/``."""

from __future__ import annotations

import argparse

from leukemia.base import cli, scoring_arguments
from leukemia.base.errors import SUCCESS, UserError, run_command
from leukemia.study import layout


def _parser() -> argparse.ArgumentParser:
    parser = cli.command_parser(
        "leukemia.final",
        "Retrain a study's winner on all training images, and write the model, metrics, predictions and a report; or "
        "average several models of it.",
        "--best --test C-NMC_test_prelim_phase_data_labels.csv",
    )
    parser.add_argument(
        "--best",
        nargs="?",
        const="",
        required=True,
        metavar="STUDY",
        help="name of the study (default: the newest with a winner)",
    )
    cli.add_runs(parser)
    cli.add_data(parser, "where the search found it")
    scoring_arguments.add_test(parser, required=False)
    scoring_arguments.add_submission(parser)
    parser.add_argument(
        "--threshold",
        metavar="RULE",
        help="probability from which the model calls an image leukemic, chosen out of fold: youden, sensitivity=0.95, "
        "or a number; kept with the model (default: 0.5, or the one that the model has already)",
    )
    scoring_arguments.add_prevalence(parser)
    cli.add_settings(parser, "change a field of the recipe; can be repeated")
    cli.add_plugins(parser)
    cli.add_device(parser)
    parser.add_argument(
        "--against-start",
        action="store_true",
        help="also retrain the starting recipe and report the paired difference on the test data",
    )
    ensemble = parser.add_mutually_exclusive_group()
    ensemble.add_argument(
        "--ensemble",
        choices=("folds",),
        help="average the models of the search's folds, each trained again without its fold, in place of one model on "
        f"all images; with a --test that has labels, compared with that one, in {layout.FINAL}/",
    )
    ensemble.add_argument(
        "--seeds",
        type=int,
        metavar="N",
        help="average N models, trained on all images with the recipe's seed and those after it; compared likewise",
    )
    parser.add_argument(
        "--out",
        metavar="NAME",
        help=f"folder of the model, in the study (default: {layout.FINAL}, or {layout.ENSEMBLE} with --ensemble or "
        "--seeds). If it has this model already, nothing is trained, and new test data are added",
    )
    parser.add_argument(
        "--replace", action="store_true", help="if the folder has another model, keep that as NAME.1, NAME.2, ..."
    )
    cli.add_wandb_ids(parser)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Retrain and deliver the winner; returns the exit status."""
    arguments = _parser().parse_args(argv)
    if arguments.against_start and arguments.test is None:
        raise UserError("--against-start: the models are compared on test images; add a --test with labels")
    is_ensemble = arguments.ensemble is not None or arguments.seeds is not None
    if is_ensemble and arguments.against_start:
        raise UserError(
            "--against-start: an ensemble is compared with the single model; compare that with the start, without "
            "--ensemble and --seeds"
        )
    if is_ensemble and arguments.out == layout.FINAL:
        raise UserError(f"--out: {layout.FINAL} is the folder of the single model; choose another for the ensemble")
    if arguments.submission is not None and arguments.test is None:
        raise UserError("--submission: it has the classes of the test images; add a --test")
    scoring_arguments.check_test(arguments)
    if (arguments.classes or arguments.label_column) and arguments.test is None:
        raise UserError(
            "--classes and --label-column say here how a test set is read, since the training data are read as in the "
            "search; add --test, or leave them out"
        )
    for option, given in (
        (f"--{arguments.overlap}-overlap", arguments.overlap != "refuse"),
        ("--test-base", arguments.test_base is not None),
    ):
        if given and arguments.test is None:
            raise UserError(f"{option} has no effect without a test set; add --test, or leave it out")

    from leukemia.base.provenance import command_line
    from leukemia.data.location import absolute
    from leukemia.data.reading import Reading
    from leukemia.delivery.final_training import FinalTraining
    from leukemia.delivery.submission import Submission
    from leukemia.plugins.registry import load_named
    from leukemia.scoring.thresholds import parse_rule
    from leukemia.study.folder import Study

    try:
        threshold = None if arguments.threshold is None else parse_rule(arguments.threshold)
    except ValueError as error:
        raise UserError(f"--threshold: {error}") from None
    FinalTraining(
        study=Study.find(arguments.runs, arguments.best or None),
        data=arguments.data,
        reading=Reading.of(arguments),
        test=arguments.test,
        test_base=None if arguments.test_base is None else absolute(arguments.test_base),
        settings=arguments.settings,
        device=arguments.device,
        overlap=arguments.overlap,
        against_start=arguments.against_start,
        submission=None if arguments.submission is None else Submission(path=arguments.submission),
        threshold=threshold,
        prevalence=arguments.prevalence,
        out=(layout.ENSEMBLE if is_ensemble else layout.FINAL) if arguments.out is None else arguments.out,
        replace=arguments.replace,
        ensemble=arguments.ensemble,
        num_seeds=arguments.seeds,
        wandb_ids=arguments.wandb_ids,
        command=command_line("leukemia.final", argv),
        plugins=load_named(arguments.plugins),
    ).run()
    return SUCCESS


if __name__ == "__main__":
    run_command(main)

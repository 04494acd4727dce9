"""The wings of both packages, from the bottom up, and the commands above them."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]

WINGS = """
leukemia.base leukemia.scoring leukemia.config leukemia.plugins leukemia.data leukemia.training leukemia.study
leukemia.tracking leukemia.reporting leukemia.delivery
search.policy search.sampling search.trials search.planning search.storage search.cluster search.launch search.slurm
""".split()
"""From the bottom up: each imports only from itself and from those before it."""

APART = {"search.preflight": {"leukemia.base", "search.cluster.ray_private", "search.cluster.variables"}}
"""Imported by nothing, and what of ours it may import."""

COMMANDS = {
    "leukemia": {
        "catalog",
        "evaluate",
        "export",
        "final",
        "leakcheck",
        "predict",
        "report",
        "sample",
        "tracking",
        "unpack",
    },
    "search": {"preflight", "run", "slurm"},
}
"""What a person types after ``python -m``: a file of the package, or a wing with a ``__main__``."""

"""``search.run`` with a checkpoint after each epoch of a trial, so that a crash costs at most the epoch that runs.

By default there is one each minute, and the searches that are killed here train a fold in less.
"""

from __future__ import annotations

import functools
from unittest.mock import patch

from leukemia.base.errors import run_command
from search.cluster.trainable import TrialData
from search.run import main

if __name__ == "__main__":
    with patch("search.launch.search.TrialData", functools.partial(TrialData, checkpoint_seconds=0.0)):
        run_command(main)

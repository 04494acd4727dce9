"""``python -m search.preflight FILE``: problems that would make ``ray up`` or ``sbatch`` fail."""

"""A search as a Slurm job: Ray on the job's nodes. ``python -m search.slurm`` is what cluster.slurm runs."""

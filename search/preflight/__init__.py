"""``python -m search.preflight CLUSTER.yaml``: problems that would make ``ray up`` fail."""

"""Experiment tracking with Weights & Biases. ``python -m leukemia.tracking publish STUDY`` uploads a study."""

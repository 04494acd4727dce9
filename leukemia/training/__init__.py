"""One recipe on one split: model, optimizer, training loop, inference, cross-validation."""

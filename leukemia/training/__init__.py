"""Training and evaluating a recipe: model, optimizer, training loop, inference, cross-validation."""

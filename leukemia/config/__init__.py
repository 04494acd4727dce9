"""What one training is: recipes, their fields and presets."""

"""The delivered model: retraining the winner, testing, the leak check, and prediction for new images."""

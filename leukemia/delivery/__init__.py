"""The exported model: retraining and testing the winner, the leak check, and prediction for new images."""

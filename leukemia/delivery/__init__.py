"""What becomes of a winner: retrained, tested, checked for leaks, delivered."""

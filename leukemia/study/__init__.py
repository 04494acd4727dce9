"""The study folder: its records, its winner, where its device time went."""

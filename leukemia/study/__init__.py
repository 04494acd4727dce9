"""The study folder: its files, the winner (``best.json``), and the use of device time."""

"""Running a search, from the command line to the exit status."""

"""The command line of ptychoproduct: reads arguments and prints results; `ptychoproduct` does the work."""

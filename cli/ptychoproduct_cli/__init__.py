"""Command lines of ptychoproduct: arguments and what is printed; the work is done in `ptychoproduct`."""

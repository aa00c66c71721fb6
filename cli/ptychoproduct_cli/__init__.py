"""The command line of ptychoproduct: reads arguments and prints results; `ptychoproduct` does the work."""

from ptychoproduct_cli.signals import answer_of_our_programs

answer_of_our_programs()

"""How fast `sky` is, each figure beside the local torch of the same run.

``python -m bench`` measures every group and prints a table; ``python -m bench ops networks`` measures two of them. The
two sides of a figure are measured in turn, pair by pair, so that both see the same load of the machine: what counts is
the ratio of a pair, and its spread over all pairs. Both sides compute with one thread.
"""

"""What a person sees in a cell: progress, the ledger line, tables and the monitor.

Everything here reads as plain text too, and takes its colours from the ``--jp-*`` variables of the theme.
"""

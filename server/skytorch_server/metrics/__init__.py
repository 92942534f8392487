"""What a server and its machine are doing. A new source is one file here and one entry in :mod:`.registry`."""

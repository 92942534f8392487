"""Named objects of sessions on the server's disk. Only :mod:`.tensors` imports torch."""

"""The process that clients reach: it authenticates, keeps leases, tells metrics and health, and relays.

It never runs an op, never unpickles what a client sent, and never imports torch.
"""

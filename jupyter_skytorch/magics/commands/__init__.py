"""The subcommands of ``%sky``: a module here is a subcommand.

Its docstring is its help; ``arguments(parser)`` declares its arguments and ``run(options, magics)`` does it.
"""

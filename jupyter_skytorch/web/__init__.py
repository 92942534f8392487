"""The Jupyter server extension: says what the Computes and sessions of all kernels are doing.

It runs in the Jupyter server's process, on its event loop, and never imports torch.
"""

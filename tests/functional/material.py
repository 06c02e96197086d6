"""Test material that both ends must agree about."""

BLOCK = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUV"


def big_text(size):
    """What the demo server's tool `big` returns: 64-byte blocks, each beginning with its number in hex."""
    return "".join("%016x%s" % (n, BLOCK) for n in range((size + 63) // 64))[:size]

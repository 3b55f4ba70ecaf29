"""Witten-Bell interpolation straight from its recursion."""

from collections import defaultdict


def slow_probability(train, context, character, size):
    """p_k(c|h) with k = len(h) + 1, straight from the recursion."""
    followers = defaultdict(int)
    for i in range(len(train) - len(context)):
        if train[i : i + len(context)] == context:
            followers[train[i + len(context)]] += 1
    lower = slow_probability(train, context[1:], character, size) if context else 1.0 / size
    n, t = sum(followers.values()), len(followers)
    return lower if n == 0 else (followers[character] + t * lower) / (n + t)

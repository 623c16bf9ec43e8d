"""The pass over the rows of a large table, compiled: patterns by their bits, cross-products, pseudo-rows."""

import math

import numba
import numpy as np

__all__ = ["compress", "reduce_rows"]

_EMPTY = -1


@numba.njit(cache=True)
def number_patterns(y):
    """Number the patterns of holes in order of appearance: of each row (n,), their first rows, their counts."""
    n, p = y.shape
    words = (p + 63) // 64
    slots = 2
    while slots < 2 * n:
        slots *= 2
    table = np.full(slots, _EMPTY, np.int64)
    keys = np.zeros((n, words), np.uint64)
    which = np.empty(n, np.int64)
    count = np.zeros(n, np.int64)
    first = np.empty(n, np.int64)
    key = np.zeros(words, np.uint64)
    found = 0
    one, mask = np.uint64(1), np.uint64(slots - 1)
    for i in range(n):
        mixed = np.uint64(0)
        for w in range(words):
            bits = np.uint64(0)
            for j in range(64 * w, min(64 * w + 64, p)):
                if y[i, j] == y[i, j]:
                    bits |= one << np.uint64(j - 64 * w)
            key[w] = bits
            mixed = (mixed ^ bits) * np.uint64(0x9E3779B97F4A7C15)
            mixed ^= mixed >> np.uint64(29)
        slot = mixed & mask
        while True:
            g = table[slot]
            if g == _EMPTY:
                table[slot] = found
                first[found] = i
                for w in range(words):
                    keys[found, w] = key[w]
                g = found
                found += 1
                break
            same = True
            for w in range(words):
                same = same and keys[g, w] == key[w]
            if same:
                break
            slot = (slot + one) & mask
        which[i] = g
        count[g] += 1
    return which, first[:found], count[:found]


@numba.njit(cache=True)
def root_of(products, out):
    """Fill out with an upper triangular R, R'R = products (positive semidefinite, lower triangle read)."""
    d = products.shape[0]
    for j in range(d):
        pivot = products[j, j]
        for r in range(j):
            pivot -= out[r, j] ** 2
        if pivot <= 1e-14 * products[j, j]:  # a linear combination of the columns before, up to rounding
            for i in range(j, d):
                out[j, i] = 0.0
            continue
        out[j, j] = math.sqrt(pivot)
        for i in range(j + 1, d):
            rest = products[i, j]
            for r in range(j):
                rest -= out[r, j] * out[r, i]
            out[j, i] = rest / out[j, j]


@numba.njit(cache=True, nogil=True)
def reduce_rows(x, y, center, scale):
    """Reduce rows to pseudo-rows of (1, x, y) about an origin, patterns in order of appearance; see `moments.Raw`."""
    n, p = y.shape
    q = x.shape[1]
    d = 1 + q + p
    which, first, count = number_patterns(y)
    groups = len(count)
    start = np.zeros(groups + 1, np.int64)
    dense = np.full(groups, _EMPTY, np.int64)
    many = 0
    for g in range(groups):
        start[g + 1] = start[g] + min(count[g], d)
        if count[g] > d:
            dense[g] = many
            many += 1
    rows = np.zeros((start[groups], d))
    products = np.zeros((many, d, d))
    at = start[:groups].copy()
    infinite, holes = np.zeros(p, np.int64), np.zeros(q, np.int64)
    inverse = 1.0 / scale
    z = np.zeros(d)
    z[0] = 1.0
    for i in range(n):
        for j in range(q):
            value = (x[i, j] - center[j]) * inverse[j]
            if not abs(value) < np.inf:
                holes[j] += 1
                value = 0.0
            z[1 + j] = value
        for j in range(p):
            value = (y[i, j] - center[q + j]) * inverse[q + j]
            if not abs(value) < np.inf:
                infinite[j] += value == value
                value = 0.0
            z[1 + q + j] = value
        g = which[i]
        slot = dense[g]
        if slot == _EMPTY:
            rows[at[g]] = z
            at[g] += 1
            continue
        block = products[slot]
        for a in range(d):
            left = z[a]
            if left != 0.0:
                for b in range(a + 1):
                    block[a, b] += left * z[b]
    for g in range(groups):
        if dense[g] != _EMPTY:
            root_of(products[dense[g]], rows[start[g] : start[g + 1]])
    seen = np.empty((groups, p), np.bool_)
    for g in range(groups):
        for j in range(p):
            seen[g, j] = y[first[g], j] == y[first[g], j]
    return seen, count, rows, start, infinite, holes


@numba.njit(cache=True)
def compress(rows, start):
    """Reduce the pseudo-rows of each pattern to at most as many as they have entries."""
    groups, d = len(start) - 1, rows.shape[1]
    after = np.zeros(groups + 1, np.int64)
    for g in range(groups):
        after[g + 1] = after[g] + min(start[g + 1] - start[g], d)
    out = np.zeros((after[groups], d))
    products = np.zeros((d, d))
    for g in range(groups):
        here = rows[start[g] : start[g + 1]]
        if len(here) <= d:
            out[after[g] : after[g + 1]] = here
            continue
        products[:] = 0.0
        for i in range(len(here)):
            for a in range(d):
                for b in range(a + 1):
                    products[a, b] += here[i, a] * here[i, b]
        root_of(products, out[after[g] : after[g + 1]])
    return out, after

"""Random terms that indicators read, appended to the modelled columns, and the way back of their gradient.

hidden = (powers, back, of_term, first): powers (p, g) of the times, back (g, g) from the spread of the free parameters
to that of the terms on t⁰, t¹, t² (Ψ = back spread back'), of_term (k,) the random term by whose sd a free coefficient
is divided (-1: by none), and where v has the spread. Without random terms g is 0.
"""

import numba
import numpy as np

__all__ = ["append_random_terms", "carry_random_terms_back", "sd_of_coefficient", "spread_of_terms"]


@numba.njit(cache=True, error_model="numpy", nogil=True)
def spread_of_terms(spread, back):
    """Ψ = back spread back'."""
    g = len(back)
    made = np.zeros((g, g))
    for i in range(g):
        for j in range(g):
            for a in range(g):
                for b in range(g):
                    made[i, j] += back[i, a] * spread[a, b] * back[j, b]
    return made


@numba.njit(cache=True, error_model="numpy", nogil=True)
def append_random_terms(B, S, random, powers):
    """Give B (p + g, q) and S (1, p + g, p + g): E u = 0, Var u = Ψ, Cov(y, u) = powers Ψ."""
    p, g = powers.shape
    wide_B, wide_S = np.zeros((p + g, B.shape[1])), np.zeros((1, p + g, p + g))
    wide_B[:p] = B
    wide_S[0, :p, :p] = S[0]
    wide_S[0, p:, p:] = random
    for i in range(p):
        for j in range(g):
            for a in range(g):
                wide_S[0, i, p + j] += powers[i, a] * random[a, j]
            wide_S[0, p + j, i] = wide_S[0, i, p + j]
    return wide_B, wide_S


@numba.njit(cache=True, error_model="numpy", nogil=True)
def carry_random_terms_back(dS, powers, back, d_random):
    """Carry the gradient in S, and d_random in Ψ, back to the spread of the free parameters: (g, g), symmetric."""
    p, g = powers.shape
    made = np.zeros((g, g))
    for i in range(g):
        for j in range(g):
            d_random[i, j] += dS[0, p + i, p + j]
            for k in range(p):
                d_random[i, j] += powers[k, i] * (dS[0, k, p + j] + dS[0, p + j, k])
    for a in range(g):
        for b in range(g):
            for i in range(g):
                for j in range(g):
                    made[a, b] += back[i, a] * 0.5 * (d_random[i, j] + d_random[j, i]) * back[j, b]
    return made


@numba.njit(cache=True, error_model="numpy", nogil=True)
def sd_of_coefficient(random, of_term, k):
    """Give the sd by which free coefficient k is divided."""
    at = of_term[k]
    return np.sqrt(random[at, at]) if at >= 0 else 1.0

"""Amounts inside the likelihood: columns appended to B and a covariance per group, forth and back, compiled.

Notation: J are the columns that a piece moves together, C = S_·J S_JJ⁻¹ what one unit in them does to every column. A
shift appends the column C_·j d; a part of the mean appends C_·j share (B_j + origin); a group whose columns J are
scaled by F has covariance S + C (F S_JJ F - S_JJ) C'. The same in NumPy and PyTensor stands in `normal.parameters`.
"""

import numba
import numpy as np

__all__ = ["BY_CONSTANT", "OF_MEAN", "PER_SD", "append_moves", "carry_moves_back"]

PER_SD, BY_CONSTANT, OF_MEAN = range(3)
# amounts are linear in the values: triplets (amount, value, factor), and what they are where all values are 0
# a piece: mode, its amount, column, |J|, J (p), how many predictors, those (p)
# its numbers: factor and offset that make a distance or a share of the amount, origin (q)
# a group: |J|, J (p), and for each of J its amount (-1: not scaled)


@numba.njit(cache=True, error_model="numpy", nogil=True)
def inverse(S, J):
    """S_JJ⁻¹ of a positive definite matrix by elimination; what it holds is of no use where it is not."""
    d = len(J)
    left, made = np.empty((d, d)), np.eye(d)
    for a in range(d):
        for b in range(d):
            left[a, b] = S[J[a], J[b]]
    for a in range(d):
        pivot = left[a, a]
        for b in range(d):
            left[a, b] /= pivot
            made[a, b] /= pivot
        for r in range(d):
            if r != a:
                factor = left[r, a]
                for b in range(d):
                    left[r, b] -= factor * left[a, b]
                    made[r, b] -= factor * made[a, b]
    return made


@numba.njit(cache=True, error_model="numpy", nogil=True)
def carry_of(S, J, K):
    """C (p, |J|) from K = S_JJ⁻¹."""
    made = np.zeros((len(S), len(J)))
    for i in range(len(S)):
        for a in range(len(J)):
            for b in range(len(J)):
                made[i, a] += S[i, J[b]] * K[b, a]
    return made


@numba.njit(cache=True, error_model="numpy", nogil=True)
def carry_gradient(J, K, C, seed, d_cov):
    """Add the gradient of Σ seed C to d_cov."""
    p, d = seed.shape
    through = np.zeros((p, d))  # seed K
    for i in range(p):
        for a in range(d):
            for b in range(d):
                through[i, a] += seed[i, b] * K[b, a]
    for i in range(p):
        for a in range(d):
            d_cov[i, J[a]] += through[i, a]
            for b in range(d):
                d_cov[J[b], J[a]] -= C[i, b] * through[i, a]


@numba.njit(cache=True, error_model="numpy", nogil=True)
def residual_sd(S, j, given):
    """√ of the variance of a column given others, and the slopes on them."""
    K = inverse(S, given)
    slopes, left = np.zeros(len(given)), S[j, j]
    for a in range(len(given)):
        for b in range(len(given)):
            slopes[a] += K[a, b] * S[given[b], j]
        left -= slopes[a] * S[given[a], j]
    return np.sqrt(left), slopes


@numba.njit(cache=True, error_model="numpy", nogil=True)
def amounts_of_values(v, lines, fixed):
    """All amounts, those that are numbers too."""
    made = fixed.copy()
    for i in range(len(lines)):
        made[int(lines[i, 0])] += lines[i, 2] * v[int(lines[i, 1])]
    return made


@numba.njit(cache=True, error_model="numpy", nogil=True)
def factors_of(amounts, group, d, p):
    """F of a group, for each of its columns."""
    made = np.ones(d)
    for a in range(d):
        if group[1 + p + a] >= 0:
            made[a] = amounts[group[1 + p + a]]
    return made


@numba.njit(cache=True, error_model="numpy", nogil=True)
def append_moves(v, coef, cov, moves):
    """B (p, q + extra) and S (groups, p, p)."""
    pieces, piece_numbers, groups, lines, fixed = moves
    p, q = coef.shape
    amounts = amounts_of_values(v, lines, fixed)
    extra = 0
    for i in range(len(pieces)):
        extra += q if pieces[i, 0] == OF_MEAN else 1
    B, S = np.zeros((p, q + extra)), np.zeros((len(groups), p, p))
    B[:, :q] = coef
    at = q
    for i in range(len(pieces)):
        mode, j, size = pieces[i, 0], pieces[i, 2], pieces[i, 3]
        J = pieces[i, 4 : 4 + size]
        C, amount = carry_of(cov, J, inverse(cov, J)), amounts[pieces[i, 1]] * piece_numbers[i, 0] + piece_numbers[i, 1]
        b = np.argmax(j == J)
        if mode == OF_MEAN:
            for r in range(p):
                for l in range(q):
                    B[r, at + l] = C[r, b] * amount * (coef[j, l] + piece_numbers[i, 2 + l])
            at += q
            continue
        if mode == PER_SD:
            amount *= residual_sd(cov, j, pieces[i, 5 + p : 5 + p + pieces[i, 4 + p]])[0]
        B[:, at] = C[:, b] * amount
        at += 1
    for h in range(len(groups)):
        S[h] = cov
        d = groups[h, 0]
        if d:
            J = groups[h, 1 : 1 + d]
            C, F = carry_of(cov, J, inverse(cov, J)), factors_of(amounts, groups[h], d, p)
            for r in range(p):
                for s in range(p):
                    for a in range(d):
                        for b in range(d):
                            S[h, r, s] += C[r, a] * (F[a] * F[b] - 1) * cov[J[a], J[b]] * C[s, b]
    return B, S


@numba.njit(cache=True, error_model="numpy", nogil=True)
def carry_moves_back(v, coef, cov, moves, dB, dS, d_coef, d_cov, out):
    """Add the gradient of Σ dB B + Σ dS S to d_coef, d_cov and, for the amounts, out."""
    pieces, piece_numbers, groups, lines, fixed = moves
    p, q = coef.shape
    amounts = amounts_of_values(v, lines, fixed)
    d_amounts = np.zeros(len(amounts))
    d_coef += dB[:, :q]
    at = q
    for i in range(len(pieces)):
        mode, j, size = pieces[i, 0], pieces[i, 2], pieces[i, 3]
        J = pieces[i, 4 : 4 + size]
        K = inverse(cov, J)
        C, amount = carry_of(cov, J, K), amounts[pieces[i, 1]] * piece_numbers[i, 0] + piece_numbers[i, 1]
        b, seed, d_amount = np.argmax(j == J), np.zeros((p, size)), 0.0
        if mode == OF_MEAN:
            for l in range(q):
                mean, moved = coef[j, l] + piece_numbers[i, 2 + l], 0.0
                for r in range(p):
                    moved += dB[r, at + l] * C[r, b]
                    seed[r, b] += dB[r, at + l] * amount * mean
                d_amount += moved * mean
                d_coef[j, l] += moved * amount
            at += q
        else:
            sd, given = 1.0, pieces[i, 5 + p : 5 + p + pieces[i, 4 + p]]
            slopes = np.zeros(0)
            if mode == PER_SD:
                sd, slopes = residual_sd(cov, j, given)
            for r in range(p):
                d_amount += dB[r, at] * C[r, b]
                seed[r, b] += dB[r, at] * amount * sd
            if mode == PER_SD:
                half = 0.5 * d_amount * amount / sd
                d_cov[j, j] += half
                for a in range(len(given)):
                    d_cov[given[a], j] -= 2 * half * slopes[a]
                    for c in range(len(given)):
                        d_cov[given[a], given[c]] += half * slopes[a] * slopes[c]
            d_amount *= sd
            at += 1
        d_amounts[pieces[i, 1]] += d_amount * piece_numbers[i, 0]
        carry_gradient(J, K, C, seed, d_cov)
    for h in range(len(groups)):
        d_cov += dS[h]
        if groups[h, 0]:
            carry_scale_back(amounts, cov, groups[h], dS[h], d_cov, d_amounts)
    for i in range(len(lines)):
        out[int(lines[i, 1])] += lines[i, 2] * d_amounts[int(lines[i, 0])]


@numba.njit(cache=True, error_model="numpy", nogil=True)
def carry_scale_back(amounts, cov, group, dS, d_cov, d_amounts):
    """Add the gradient of Σ dS C (F S_JJ F - S_JJ) C' to d_cov and d_amounts."""
    p, d = len(cov), group[0]
    J = group[1 : 1 + d]
    K = inverse(cov, J)
    C, F = carry_of(cov, J, K), factors_of(amounts, group, d, p)
    seed, inner = np.zeros((p, d)), np.zeros((d, d))
    for r in range(p):
        for s in range(p):
            for a in range(d):
                for b in range(d):
                    change = (F[a] * F[b] - 1) * cov[J[a], J[b]]
                    inner[a, b] += C[r, a] * dS[r, s] * C[s, b]
                    seed[r, a] += (dS[r, s] + dS[s, r]) * change * C[s, b]
    for a in range(d):
        for b in range(d):
            d_cov[J[a], J[b]] += inner[a, b] * (F[a] * F[b] - 1)
            where = group[1 + p + a]
            if where >= 0:
                d_amounts[where] += (inner[a, b] + inner[b, a]) * cov[J[a], J[b]] * F[b]
    carry_gradient(J, K, C, seed, d_cov)

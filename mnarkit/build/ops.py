"""The extended normal's log likelihood and its covariance as PyTensor Ops: thin coats around kernels in `normal`.

The compiled form is Numba's; JAX and GPUs have none.
"""

from typing import Any

import numpy as np
import pytensor.tensor as pt
from pytensor.gradient import disconnected_type
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_and_cache_key

from mnarkit.normal.correlation import COVARIANCE_KEY, covariance, covariance_gradient
from mnarkit.normal.crowded import CROWDED_KEY, crowded_loglik_and_gradient
from mnarkit.normal.likelihood import KERNEL_KEY, packed_loglik_and_gradient
from mnarkit.normal.together import TOGETHER_KEY, packed_loglik_and_gradient_together

__all__ = ["Covariance", "ExtendedNormal"]

# Each kernel with its key and how many of its inputs are parameters; those of correlated propensities take longer to
# compile, and are taken where there are some alone
_KERNELS: dict[str, tuple[Any, str, int]] = {
    "plain": (packed_loglik_and_gradient, KERNEL_KEY, 6),
    "together": (packed_loglik_and_gradient_together, TOGETHER_KEY, 6),
    "crowded": (crowded_loglik_and_gradient, CROWDED_KEY, 7),
}


class ExtendedNormal(Op):
    """(parameters, reals, whole numbers) -> (log likelihood, its gradients in the parameters), by one of the kernels.

    The parameters are B, S, A, D, c, t, and for "crowded" e.
    """

    __props__ = ("kernel",)

    def __init__(self, kernel: str):
        self.kernel = kernel

    @property
    def size(self) -> int:
        return _KERNELS[self.kernel][2]

    def make_node(self, *inputs):
        variables = [pt.as_tensor(i, dtype="float64") for i in inputs[: self.size]]
        data = [pt.as_tensor(i) for i in inputs[self.size :]]
        return Apply(self, [*variables, *data], [pt.dscalar(), *(v.type() for v in variables)])

    def perform(self, node, inputs, output_storage):
        for storage, value in zip(output_storage, _KERNELS[self.kernel][0](*inputs), strict=True):
            storage[0] = np.asarray(value)

    def pullback(self, inputs, outputs, cotangents):
        seed: Any = cotangents[0]
        return [*(seed * gradient for gradient in outputs[1:]), *(disconnected_type() for _ in inputs[self.size :])]

    def connection_pattern(self, node):
        return [[i < self.size, *[False] * self.size] for i in range(len(node.inputs))]

    def infer_shape(self, node, shapes):
        return [(), *shapes[: self.size]]


@register_funcify_and_cache_key(ExtendedNormal)
def _numba_extended_normal(op, node=None, **kwargs):
    kernel, key, size = _KERNELS[op.kernel]

    @numba_njit
    def run(B, S, A, D, c, t, reals, whole):
        value, dB, dS, dA, dD, dc, dt = kernel(B, S, A, D, c, t, reals, whole)
        return np.asarray(value), dB, dS, dA, dD, dc, dt

    @numba_njit
    def run_with_deviations(B, S, A, D, c, t, e, reals, whole):
        value, dB, dS, dA, dD, dc, dt, de = kernel(B, S, A, D, c, t, e, reals, whole)
        return np.asarray(value), dB, dS, dA, dD, dc, dt, de

    return run if size == 6 else run_with_deviations, key


class Covariance(Op):
    """(standard deviations, partial correlations) -> residual covariance."""

    __props__ = ()
    gufunc_signature = "(p),(k)->(p,p)"

    def make_node(self, *inputs):
        sd, partial = inputs
        return Apply(self, [pt.as_tensor(sd), pt.as_tensor(partial)], [pt.dmatrix()])

    def perform(self, node, inputs, output_storage):
        output_storage[0][0] = covariance(*inputs)

    def pullback(self, inputs, outputs, cotangents):
        gradients: Any = CovarianceGradient()(*inputs, cotangents[0])
        return gradients

    def infer_shape(self, node, shapes):
        return [(shapes[0][0], shapes[0][0])]


class CovarianceGradient(Op):
    """The gradient of `Covariance` in its two inputs."""

    __props__ = ()

    def make_node(self, *inputs):
        sd, partial, seed = inputs
        return Apply(self, [sd, partial, pt.as_tensor(seed)], [pt.dvector(), pt.dvector()])

    def perform(self, node, inputs, output_storage):
        for storage, value in zip(output_storage, covariance_gradient(*inputs), strict=True):
            storage[0] = value

    def infer_shape(self, node, shapes):
        return shapes[:2]


@register_funcify_and_cache_key(Covariance)
def _numba_covariance(op, node=None, **kwargs):
    @numba_njit
    def run(sd, partial):
        return covariance(sd, partial)

    return run, COVARIANCE_KEY


@register_funcify_and_cache_key(CovarianceGradient)
def _numba_covariance_gradient(op, node=None, **kwargs):
    @numba_njit
    def run(sd, partial, seed):
        return covariance_gradient(sd, partial, seed)

    return run, COVARIANCE_KEY

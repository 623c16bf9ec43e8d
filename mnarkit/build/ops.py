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
from mnarkit.normal.likelihood import KERNEL_KEY, packed_loglik_and_gradient
from mnarkit.normal.together import TOGETHER_KEY, packed_loglik_and_gradient_together

__all__ = ["Covariance", "ExtendedNormal"]

_PARAMETERS = 6


class ExtendedNormal(Op):
    """(B, S, A, D, c, t, reals, whole numbers) -> (log likelihood, its gradients in the six parameters).

    The kernel of correlated propensities takes longer to compile; it is taken `together` alone.
    """

    __props__ = ("together",)

    def __init__(self, together: bool):
        self.together = together

    def make_node(self, *inputs):
        variables = [pt.as_tensor(i, dtype="float64") for i in inputs[:_PARAMETERS]]
        data = [pt.as_tensor(i) for i in inputs[_PARAMETERS:]]
        return Apply(self, [*variables, *data], [pt.dscalar(), *(v.type() for v in variables)])

    def perform(self, node, inputs, output_storage):
        for storage, value in zip(output_storage, _kernel(self)(*inputs), strict=True):
            storage[0] = np.asarray(value)

    def pullback(self, inputs, outputs, cotangents):
        seed: Any = cotangents[0]
        return [*(seed * gradient for gradient in outputs[1:]), *(disconnected_type() for _ in inputs[_PARAMETERS:])]

    def connection_pattern(self, node):
        return [[i < _PARAMETERS, *[False] * _PARAMETERS] for i in range(len(node.inputs))]

    def infer_shape(self, node, shapes):
        return [(), *shapes[:_PARAMETERS]]


def _kernel(op: ExtendedNormal) -> Any:
    return packed_loglik_and_gradient_together if op.together else packed_loglik_and_gradient


@register_funcify_and_cache_key(ExtendedNormal)
def _numba_extended_normal(op, node=None, **kwargs):
    kernel = _kernel(op)

    @numba_njit
    def run(B, S, A, D, c, t, reals, whole):
        value, dB, dS, dA, dD, dc, dt = kernel(B, S, A, D, c, t, reals, whole)
        return np.asarray(value), dB, dS, dA, dD, dc, dt

    return run, TOGETHER_KEY if op.together else KERNEL_KEY


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

"""What m analyses say together: Rubin's rules, and tests of nested models."""

from mnarkit.pool.nested import PooledTest, pool_test
from mnarkit.pool.pool import Pooled, pool

__all__ = ["Pooled", "PooledTest", "pool", "pool_test"]

"""What m analyses say together: Rubin's rules, and tests of nested models."""

from mnarkit.pool.nested import PooledTest, pool_test
from mnarkit.pool.pool import pool
from mnarkit.pool.pooled import Pooled

__all__ = ["Pooled", "PooledTest", "pool", "pool_test"]

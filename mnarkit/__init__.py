"""mnarkit: data that are missing not at random.

Declare why values are missing, fit, impute, pool, and see what the assumption did. What is public stands in
`__init__.pyi`; each name loads its module when it is first used (SPEC 1), so that `import mnarkit` stays light.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__version__ = "0.1.0"

"""What a fit can be checked for: its sampler, its imputations, its predictions, and what told its parameters."""

from mnarkit.diagnose.diagnose import diagnose
from mnarkit.diagnose.diagnosis import Diagnosis
from mnarkit.diagnose.loo import loo

__all__ = ["Diagnosis", "diagnose", "loo"]

"""What a run leaves behind: a folder that a reviewer can read and rerun."""

from mnarkit.report.audit import audit
from mnarkit.report.figures import figures_of, save_figures
from mnarkit.report.folder import default_analyses, new_folder, save_analysis, save_fit, save_imputations
from mnarkit.report.report import report

__all__ = [
    "audit",
    "default_analyses",
    "figures_of",
    "new_folder",
    "report",
    "save_analysis",
    "save_figures",
    "save_fit",
    "save_imputations",
]

"""A depression trial with dropout: MAR, leaving that depends on the unseen score, jump to reference, a shift by arm.

uv run python examples/trial.py [folder for the report and the figure]
"""

import sys
from pathlib import Path

import mnarkit as mk
from mnarkit.plots import forest, save

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "trial-example")
folder.mkdir(exist_ok=True)
trial, formula = mk.load_dataset("depression"), "bdi_8m ~ treatment + bdi_pre"  # a high score is a bad one
visits, arms = ("bdi_2m", "bdi_3m", "bdi_5m", "bdi_8m"), {"arm": "treatment", "control": "TAU"}
plain = mk.Spec(mk.MvNormal(*visits, given="treatment + bdi_pre + drug + long_episode"))
jump = plain.under(mk.Reference("J2R", **arms, because="who leaves the program goes on with usual care"))
leave = mk.Dropout("previous + current + treatment", waves=visits, because="who feels worse, or well, stays away")
mar, unseen, j2r = (mk.sample(spec, trial, seed=1) for spec in (plain, plain.under(leave), jump))
print(unseen, j2r, sep="\n\n", end="\n\n")

worse = mk.PatternMixture(mk.Shift(visits, {"BtheB": 3, "TAU": 0}, unit="raw", by="treatment"))
rising = mk.PatternMixture(mk.Shift(visits, {"BtheB": 1.5, "TAU": 0}, unit="raw", by="treatment", cumulative=True))
beliefs = {"MAR": mar, "Diggle-Kenward": unseen, "J2R": j2r, "CIR": (mar, mk.Reference("CIR", **arms))}
beliefs |= {"BtheB 3 points worse": (mar, worse), "BtheB 1.5 points more a visit": (mar, rising)}
compared = mk.compare(beliefs, formula, m=100, seed=2, by="treatment")
print(compared, end="\n\n")
save(forest(compared.to_frame(), terms=["treatment[T.TAU]"], interval="interval"), folder / "beliefs.png")

methods = ("rubin", "jackknife", "information-anchored")
print(mk.variances(jump, trial, formula, methods=methods, fit=j2r, seed=3), end="\n\n")
shift = {"bdi_8m": mk.Grid(0, 30, unit="raw", where="treatment == 'BtheB'")}
tipping = mk.tipping_point(mar, formula, term="treatment[T.TAU]", shift=shift, crosses="estimate", m=100, seed=3)
print(tipping)
mk.report(unseen, folder / "report.html", analyses=formula, comparison=compared, stress=[tipping], overwrite=True)

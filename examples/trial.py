"""A depression trial with dropout: usual care against a program, under MAR, reference-based strategies, and a shift.

uv run python examples/trial.py [folder for the report and the figure]
"""

import sys
from pathlib import Path

import mnarkit as mk
from mnarkit.plots import forest, save

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "trial-example")
folder.mkdir(exist_ok=True)
trial, formula = mk.load_dataset("depression"), "bdi_8m ~ treatment + bdi_pre + drug"
visits = ("bdi_2m", "bdi_3m", "bdi_5m", "bdi_8m")
spec = mk.Spec(
    mk.MvNormal(*visits, given="treatment + bdi_pre + drug + long_episode"),
    mk.Reference("J2R", arm="treatment", control="TAU"),
    because="Patients who leave the program go on with usual care.",
)
mar, fit = mk.sample(spec.mar(), trial, seed=1), mk.sample(spec, trial, seed=1)
print(fit, end="\n\n")

late = {s: (mar, mk.Reference(s, arm="treatment", control="TAU")) for s in ("CR", "CIR", "LMCF")}
worse = mk.PatternMixture(mk.Shift(visits, {"BtheB": 3, "TAU": 0}, unit="raw", by="treatment"))
rising = mk.PatternMixture(mk.Shift(visits, {"BtheB": 1.5, "TAU": 0}, unit="raw", by="treatment", cumulative=True))
beliefs = {"MAR, EM": mk.em(spec.mar(), trial), "MAR": mar, "J2R, EM": mk.em(spec, trial), "J2R": fit} | late
beliefs |= {"J2R, and 3 points worse": (fit, worse), "MAR, 1.5 points more a visit": (mar, rising)}
compared = mk.compare(beliefs, formula, m=100, seed=2, by="treatment")
print(compared, end="\n\n")
effect = "treatment[T.TAU]"
save(forest(compared.to_frame(), terms=[effect], interval="interval"), folder / "strategies.png")

methods = ("rubin", "jackknife", "bootstrap-impute", "information-anchored")
print(mk.variances(spec, trial, formula, methods=methods, fit=fit, resamples=200, seed=3), end="\n\n")
shift = {"bdi_8m": mk.Grid(0, 30, unit="raw", where="treatment == 'BtheB'")}
tipping = mk.tipping_point(mar, formula, term=effect, shift=shift, crosses="estimate", m=100, seed=3)
print(tipping)
mk.report(fit, folder / "report.html", analyses=formula, comparison=compared, stress=[tipping], overwrite=True)

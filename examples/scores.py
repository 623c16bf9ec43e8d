"""Test scores of 935 men, 272 with a hole in what is to explain them: incomplete covariates, under three beliefs.

uv run python examples/scores.py [folder for the report and the figure]
"""

import sys
from pathlib import Path

import statsmodels.formula.api as smf

import mnarkit as mk
from mnarkit.plots import forest, save

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "scores-example")
folder.mkdir(exist_ok=True)
scores = mk.load_dataset("scores")[["IQ", "feduc", "meduc", "brthord", "sibs", "black"]]
scores["first"] = (scores.pop("brthord") == 1).astype(float).where(mk.load_dataset("scores")["brthord"].notna())
print(mk.explore(scores, by="black"), end="\n\n")

formula = "IQ ~ feduc + meduc + first + sibs + black"
spec = mk.Spec(
    mk.Regressions(
        mk.Regression(formula),  # what is to be known, and from what each covariate with holes is drawn
        mk.Regression("feduc ~ meduc + sibs + black"),
        mk.Regression("meduc ~ sibs + black"),
        mk.Regression("first ~ sibs", family="bernoulli"),
    ),
    mk.Selection("missing(feduc) ~ feduc + sibs + black", because="a father with little schooling is named less often"),
    because="Nothing is known of why the mother's schooling and the birth order are left out.",
)
mar, fit = (mk.sample(s, scores, chains=2, seed=1) for s in (spec.mar(), spec))
print(fit, end="\n\n")
less = (mar, mk.PatternMixture(mk.Shift("feduc", -2, unit="raw")))
compared = mk.compare({"MAR": mar, "Selection": fit, "2 years less": less}, formula, m=50, seed=2)
print(compared, end="\n\n")
save(forest(compared.to_frame(), terms=["feduc", "meduc", "first"], interval="interval"), folder / "beliefs.png")
complete = smf.ols(formula, scores.dropna()).fit()
print(f"feduc, complete cases ({complete.nobs:.0f} men): {complete.params.feduc:.2f} ({complete.bse.feduc:.2f})")
mk.report(fit, folder / "report.html", analyses=formula, comparison=compared, overwrite=True)

"""Wages of 753 women, 428 recorded: a look at the holes, MAR and Heckman by EM and by sampling, and what it would take.

uv run python examples/wages.py [folder for the report and the figures]
"""

import sys
from pathlib import Path

import mnarkit as mk
from mnarkit.plots import forest, save

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "wages-example")
folder.mkdir(exist_ok=True)
wages, formula = mk.load_dataset("wages").drop(columns="wage"), "lwage ~ educ + exper + expersq"
print(mk.explore(wages, by="city"), end="\n\n")

heckman = mk.Spec(
    mk.Regression(formula),
    mk.Heckman("recorded(lwage) ~ educ + exper + expersq + age + kidslt6 + kidsge6 + nwifeinc"),
    because="Women offered low wages stay at home. Children and other income move working, not the wage.",
)
by_em = {"MAR, EM": mk.em(heckman.mar(), wages), "Heckman, EM": mk.em(heckman, wages)}
mar, fit = mk.sample(heckman.mar(), wages, seed=1), mk.sample(heckman, wages, seed=1)
print(fit, end="\n\n")
print(mk.pool(mk.analyze(mk.impute(fit, m=50, seed=2), formula)), end="\n\n")

lower = (mar, mk.PatternMixture(mk.Shift("lwage", -0.4, unit="sd")))
compared = mk.compare(by_em | {"MAR": mar, "Heckman": fit, "0.4 sd lower": lower}, formula, m=50, seed=3)
print(compared, end="\n\n")
save(forest(compared.to_frame(), terms=["educ", "exper"], interval="interval"), folder / "beliefs.png")

tipping = mk.tipping_point(
    mar, formula, term="educ", shift={"lwage": mk.Grid(-5, 5, unit="sd")}, crosses="interval", m=100, seed=3
)
print(tipping, end="\n\n")
checked = mk.diagnose(fit, seed=2)
print(checked)
mk.report(fit, folder / "report.html", comparison=compared, diagnosis=checked, stress=[tipping], overwrite=True)

"""Wages of 753 women, 428 recorded: the mean log wage of all of them under MAR, Heckman and shifts.

uv run python examples/wages.py
"""

import mnarkit as mk

wages = mk.load_dataset("wages")
model = mk.Regression("lwage ~ educ + exper + expersq")
heckman = mk.Spec(
    model,
    mk.Heckman("recorded(lwage) ~ educ + exper + expersq + age + kidslt6 + kidsge6 + nwifeinc"),
    because="Women offered low wages stay at home. Children and other income move working, not the wage.",
)
print(heckman, end="\n\n")

mar = mk.sample(heckman.mar(), wages, seed=1)
fit = mk.sample(heckman, wages, seed=1)

imputed = {"MAR": mk.impute(mar, m=50, seed=2), "Heckman": mk.impute(fit, m=50, seed=2)}
for amount in (-0.2, -0.4):
    late = mk.PatternMixture(mk.Shift("lwage", amount, unit="sd"))
    imputed[f"shift {amount} sd"] = mk.impute(mar, m=50, seed=2, under=late)

for belief, imputations in imputed.items():
    row = mk.pool(mk.analyze(imputations, "lwage ~ 1")).to_frame().iloc[0]
    print(
        f"{belief:15} mean log wage of all 753: {row.estimate:.3f}, 95% interval {row.ci_low:.3f} to {row.ci_high:.3f}"
    )

"""A depression trial with dropout: usual care against a program under MAR, reference-based strategies, and a shift.

uv run python examples/trial.py
"""

import mnarkit as mk

trial = mk.load_dataset("depression")
visits = ("bdi_2m", "bdi_3m", "bdi_5m", "bdi_8m")
spec = mk.Spec(
    mk.MvNormal(*visits, given="treatment + bdi_pre + drug + long_episode"),
    mk.Reference("J2R", arm="treatment", control="TAU"),
    because="Patients who leave the program go on with usual care.",
)
print(spec, end="\n\n")
fit = mk.sample(spec, trial, seed=1)

strategies = {s: mk.Reference(s, arm="treatment", control="TAU") for s in ("MAR", "J2R", "CR", "CIR", "LMCF")}
beliefs = strategies | {
    "J2R, and 3 points more for the program's dropouts": [
        strategies["J2R"],
        mk.PatternMixture(*(mk.Shift(v, 3, unit="raw", where="treatment == 'BtheB'") for v in visits[1:])),
    ]
}
for name, under in beliefs.items():
    pooled = mk.pool(mk.analyze(mk.impute(fit, m=100, seed=2, under=under), "bdi_8m ~ treatment + bdi_pre + drug"))
    row = pooled.to_frame().set_index("term").loc["treatment[T.TAU]"]
    print(f"usual care - program, {name}: {row.estimate:.2f}, 95% interval {row.ci_low:.2f} to {row.ci_high:.2f}")

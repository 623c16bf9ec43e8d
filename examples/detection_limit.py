"""A laboratory value below detection: C-reactive protein, of which the assay sees 3 mg/l and more (simulated).

uv run python examples/detection_limit.py
"""

import numpy as np
import pandas as pd

import mnarkit as mk

rng = np.random.default_rng(7)
n = 400
age, smoker = rng.normal(55, 10, n), rng.random(n) < 0.3
log_crp = 0.7 + 0.02 * (age - 55) + 0.5 * smoker + 0.9 * rng.normal(size=n)
lost = rng.random(n) < 0.1  # samples that were lost, whatever was in them
seen = (log_crp > np.log(3)) & ~lost
data = pd.DataFrame({"log_crp": np.where(seen, log_crp, np.nan), "age": age - 55, "smoker": smoker, "lost": lost})

model = mk.Regression("log_crp ~ age + smoker")
spec = mk.Spec(
    model,
    mk.Limits("log_crp", high=np.log(3), where="not lost", because="the assay does not see less than 3 mg/l"),
    because="Samples were lost in the post: their holes are ignorable.",
)
print(spec, end="\n\n")

known = mk.em(spec, data)
print(known, end="\n\n")
ignored, whole = mk.em(mk.Spec(model), data), mk.em(mk.Spec(model), data.assign(log_crp=log_crp))
for name, fit in {"limits ignored": ignored, "limits known": known, "nothing missing": whole}.items():
    row = fit.to_frame().set_index("term").loc["log_crp ~ smoker"]
    print(f"smokers, {name}: {row.estimate:.2f} (standard error {row.std_error:.2f}); the truth is 0.50")

imputed = mk.impute(mk.sample(spec, data, seed=1), m=20, seed=2)
print(mk.pool(mk.analyze(imputed, "log_crp ~ age + smoker")))

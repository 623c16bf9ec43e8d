"""plan: what becomes of the unseen values, marginal or latent, said for every engine and in every fit."""

import warnings

import numpy as np
import pandas as pd
import pytest

import mnarkit as mk
from mnarkit.build import build
from mnarkit.report import report
from tests.cases import SPECS, table

RNG = np.random.default_rng(2)
FRAME = pd.DataFrame({"x": RNG.normal(size=60), "id": np.repeat(np.arange(12), 5)})
FRAME["k"] = (RNG.random(60) < 0.5).astype(float)
FRAME["y"] = FRAME["x"] + FRAME["k"] + RNG.normal(size=60)
FRAME["v"] = FRAME["x"] + RNG.normal(size=60)
for column in ("y", "v", "k"):
    FRAME.loc[RNG.random(60) < 0.25, column] = np.nan
FACTORED = mk.Spec(
    mk.Regressions(mk.Regression("y ~ v + k"), mk.Regression("v ~ x"), mk.Regression("k ~ x", family="bernoulli"))
)


def kinds(spec: mk.Spec, frame: pd.DataFrame) -> dict[str, str]:
    return {block.name: block.kind for block in mk.plan(spec, frame).blocks}


@pytest.mark.parametrize("name", SPECS)
def test_jointly_normal_columns_are_marginal(name: str) -> None:
    made = mk.plan(SPECS[name], table())
    assert made.engine == "normal"
    assert {block.kind for block in made.blocks} == {"marginal"}
    columns = list(SPECS[name].model.columns)
    limited = any(isinstance(b, mk.Limits) for b in SPECS[name].missingness)
    holes = int(table()[columns].isna().to_numpy().sum())
    assert made.blocks[0].cells == holes or (limited and made.blocks[0].cells < holes)
    assert len(made.to_frame()) == len(made.blocks)


def test_a_factored_model_says_it_column_by_column() -> None:
    made = mk.plan(FACTORED, FRAME)
    cells = {(b.name, b.kind): b.cells for b in made.blocks}
    both = FRAME["v"].isna() & FRAME["y"].isna()
    assert cells["v", "latent"] == (FRAME["v"].isna() & ~both).sum()  # where y is unseen too, nothing reads v
    assert cells["v", "marginal"] == both.sum()
    assert sum(n for (name, _), n in cells.items() if name == "v") == FRAME["v"].isna().sum()
    assert kinds(mk.Spec(mk.Regression("y ~ x + (1 | id)")), FRAME)["random effects (1 | id) of y"] == "marginal"
    assert "latent    v (" in str(made)


def test_it_stands_first_in_the_notes_of_a_fit_and_in_the_report(tmp_path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for spec in (FACTORED, mk.Spec(mk.MvNormal("y", "v", given="x"), mk.Selection("missing(y) ~ y"))):
            fit = mk.sample(spec, FRAME, draws=60, tune=100, chains=2, seed=1, progress=False)
            assert fit.notes[0] == mk.plan(spec, FRAME).sentence
            assert fit.notes[0] in str(fit)
        page = report(fit, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "marginal, normal given what is seen of the row" in page


def test_what_is_marginal_has_no_variable_in_the_built_model() -> None:
    names = {v.name for v in build(FACTORED, FRAME).free_RVs}
    assert any("v_missing" in n for n in names)
    assert not any("k_missing" in n for n in names)


def test_a_spec_that_does_not_fit_is_refused() -> None:
    with pytest.raises(mk.errors.SpecError, match="'absent'"):
        mk.plan(mk.Spec(mk.Regression("absent ~ x")), FRAME)
    with pytest.raises(mk.errors.SpecError, match="a spec is needed"):
        mk.plan(mk.Regression("y ~ x"), FRAME)  # type: ignore[arg-type]

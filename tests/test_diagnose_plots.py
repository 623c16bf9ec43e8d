"""Figures of a diagnosis say what they show."""

import numpy as np
import pytest

import mnarkit as mk
from mnarkit.plots import prior_posterior, replicated_shares, replicated_values, sampler_energy
from tests.diagnose_scenarios import line

pytestmark = pytest.mark.filterwarnings("ignore::mnarkit.errors.ConvergenceWarning")  # few draws are enough here


@pytest.fixture(scope="module")
def checked() -> mk.Diagnosis:
    data = line(np.random.default_rng(1), 400, on_z=1.0, on_y=0.3)
    spec = mk.Spec(mk.Regression("y ~ x"), mk.Selection("missing(y) ~ y + x"))
    fit = mk.sample(spec, data, draws=150, tune=150, chains=2, seed=1, progress=False)
    return mk.diagnose(fit, m=3, pairs=50, seed=1)


def test_the_parameter_of_the_belief_is_drawn_with_its_label(checked):
    (ax,) = prior_posterior(checked).axes
    label = checked.identification.table.set_index("parameter").loc["missing_y[y]", "label"]
    assert ax.get_title(loc="left") == f"missing_y[y]\n{label}"
    assert [one.get_label() for one in ax.lines] == ["prior", "posterior"]
    with pytest.raises(mk.errors.DataError, match="'none' cannot be drawn"):
        prior_posterior(checked, parameters=["none"])


def test_shares_beyond_the_threshold_are_marked(checked):
    fig = replicated_shares(checked)
    fig.draw_without_rendering()
    (ax,) = fig.axes
    assert ax.get_yticklabels()[0].get_text() == "all rows (n = 400)"
    marked = next(one for one in ax.lines if one.get_label() == "this table, beyond the threshold")
    table = checked.predictive.table.query("statistic == 'share missing'").reset_index(drop=True)
    np.testing.assert_array_equal(marked.get_ydata(), np.flatnonzero(table["alarm"]))
    assert set(table["by"][table["alarm"]]) == {"z"}


def test_recorded_values_are_drawn_over_those_of_the_model(checked):
    (ax,) = replicated_values(checked, "y").axes
    assert len(ax.lines) == 1 + len(checked.predictive.recorded)
    n = int(checked.fit.data.seen("y").sum())
    assert ax.lines[-1].get_label() == f"this table (n = {n})"
    with pytest.raises(mk.errors.DataError, match="no values of 'x' were drawn"):
        replicated_values(checked, "x")


def test_the_energy_has_a_panel_a_chain(checked):
    fig = sampler_energy(checked)
    shown = [ax.get_title(loc="left") for ax in fig.axes if ax.get_visible()]
    assert len(shown) == 2
    assert shown[0].startswith("chain 0 (n = 150): BFMI ")


def test_the_page_is_read_from_top_to_bottom(checked):
    text = str(checked)
    heads = ["Sampler", "Imputations", "Predictive", "Identification", "Influence", "What this page cannot do"]
    assert [text.index(head) for head in heads] == sorted(text.index(head) for head in heads)
    assert "Nothing here tests whether values are missing not at random" in " ".join(text.split())
    assert "z is not in the model of what is missing: add it" in " ".join(text.split())
    frame = checked.to_frame()
    assert frame.columns.tolist() == ["check", "what", "measure", "number", "verdict", "alarm"]
    assert len(checked.alarms) == frame["alarm"].sum()

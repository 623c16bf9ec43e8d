"""A spec file is data: it round-trips exactly, says what is wrong and where, and can neither run nor hang."""

import json
import os
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mnarkit.errors import FormulaError, SpecError
from mnarkit.priors import Prior
from mnarkit.spec.data_models import MvNormal, Regression, Regressions
from mnarkit.spec.dropout import Dropout
from mnarkit.spec.files import from_dict, from_json, from_yaml, read_spec, to_dict, to_json, to_yaml
from mnarkit.spec.limits import Limits
from mnarkit.spec.missingness import MAR, Heckman, Selection
from mnarkit.spec.pattern_mixture import PatternMixture, Scale, Shift
from mnarkit.spec.spec import Spec
from mnarkit.spec.text import MAX_BYTES, parse_yaml

HEAD = "mnarkit_spec: 1\nmodel: {kind: Regression, formula: y ~ x}\n"
ODD_NAMES = ("no", "yes", "null", "~", "true", "True", "1e-3", "012", "0x1F", "1:30", "2001-01-01", ".5", "-", "=")
ODD_TEXTS = (
    *(
        "a: b",
        "# no comment",
        "two\nlines",
        "\n",
        " lead",
        "trail ",
        "tab\there",
        "'quoted' \"twice\"",
        "{a: [b]}",
        "|",
    ),
    *("naïve — ß 東京 🙂", "a\r\nb", "line\n\n  indented\n\n", "&a *b !c", "--- x", ">", "", "\r", "\ufeff", "\x00"),
    *("\x85", "a\x85b\n", "a\u2028", "\u2029\n"),
)

SPECS = {
    "mar": Spec(Regression("y ~ x")),
    "limits": Spec(
        MvNormal("y", "v", "w"),
        Limits("y", high=0.3, where="assay == 'old'", because="the assay"),
        Limits("v", low="from", high="to"),
        Selection("missing(w) ~ missing(y) + w"),
    ),
    "by arm": Spec(MvNormal("y", "v", "w", given="arm * x", covariance="CSH", by="arm"), MAR()),
    "death": Spec(MvNormal("y", "v"), Dropout("current", waves=("y", "v"), death="died")),
    "all fields": Spec(
        Regression("y ~ x", priors={"coef": Prior("normal", 0, 1e-3), "sd": Prior("half_student_t", 3, 0.1 + 0.2)}),
        Heckman("recorded(y) ~ x + z", priors={"rho": Prior("uniform", -1, 1), "z": 1 / 3}, because="z: work\nalone"),
        PatternMixture(
            Shift("y", Prior("normal", -0.4, 0.1, unit="raw"), unit="sd", of="model", where="arm == 'drug' & x >= 50"),
            Scale("y", 1e-3, where="x in [1, 2]"),
            because="# both",
        ),
        because="yes",
    ),
    "columns with odd names": Spec(
        MvNormal(*ODD_NAMES, given="arm + base"),
        *(PatternMixture(Shift(name, k - 3.5, unit="raw", predictors=("no",))) for k, name in enumerate(ODD_NAMES[1:])),
    ),
    "factored": Spec(
        Regressions(
            Regression(
                "y ~ x + I(x**2)", family="beta", bounds=(-0.6, 1.01), priors={"spread": Prior("uniform", 0, 0.5)}
            ),
            Regression("x ~ z", family="negative_binomial", bounds=(0, 40)),
            Regression("z ~ 1", family="student_t", priors={"df": Prior("gamma", 2, 0.1)}),
        ),
        Selection("missing(y) ~ y + I(y**2)", link="logit"),
    ),
    "logit, priors with odd names": Spec(
        MvNormal("y1", "y2", priors={"corr": Prior("lkj", 2)}),
        Selection("missing(y1) ~ y1 + log(x)", link="logit", priors=dict.fromkeys(ODD_NAMES, -2.5e-17)),
    ),
    "large and small": Spec(
        Regression("y ~ x"),
        PatternMixture(*(Shift("y", 7 * 10.0**k, unit="raw") for k in (-300, -5, 14, 15, 16, 22, 300))),
    ),
}
CODECS = {"yaml": (to_yaml, from_yaml), "json": (to_json, from_json), "dict": (to_dict, from_dict)}


def finite(**bounds):
    return st.floats(allow_nan=False, allow_infinity=False, **bounds)


SIGNS = st.sampled_from("\n\r\t \x85\u2028\u2029\ufeff\x00#:-|>'\"\\,[]{}&*!%@`?ae019.+~")
TEXTS = st.one_of(st.sampled_from(ODD_TEXTS), st.text(), st.text(SIGNS))
NAMES = st.one_of(st.sampled_from(ODD_NAMES), st.text(min_size=1), st.text(SIGNS, min_size=1))
AMOUNT_PRIORS = st.one_of(
    st.builds(Prior, st.just("normal"), finite(), finite(min_value=1e-300), unit=st.sampled_from(["sd", "raw"])),
    st.builds(Prior, st.just("student_t"), st.just(3), finite(), finite(min_value=1e-9)),
)
PRIORS = st.dictionaries(NAMES.filter(lambda n: n != "rho"), st.one_of(finite(), AMOUNT_PRIORS), max_size=4)


@st.composite
def specs(draw):
    columns = draw(st.lists(NAMES.filter(lambda n: n not in ("y", "x")), unique=True, max_size=4))
    model = MvNormal("y", *columns, given=draw(st.sampled_from(["1", "x", "log(x)"])))
    wheres = st.sampled_from([None, "x > 1e-3", "x == 'no'"])
    shift = st.builds(
        Shift,
        st.sampled_from(model.columns),
        st.one_of(finite(), AMOUNT_PRIORS),
        unit=st.sampled_from(["sd", "sd_observed", "raw"]),
        of=st.sampled_from(["prediction", "model"]),
        where=wheres,
        predictors=st.lists(st.sampled_from(model.columns), unique=True).map(tuple),
    )
    scale = st.builds(Scale, st.sampled_from(model.columns), finite(min_value=1e-9), where=wheres)
    parts = st.lists(shift | scale, min_size=1, max_size=3)
    mixture = st.builds(lambda some, because: PatternMixture(*some, because=because), parts, TEXTS)
    selection = st.one_of(
        st.builds(Selection, st.just("missing(y) ~ y + x"), st.sampled_from(["probit", "logit"]), PRIORS, TEXTS),
        st.builds(Heckman, st.just("recorded(y) ~ x"), PRIORS, TEXTS),
    )
    beliefs = draw(st.lists(mixture, max_size=2)) + draw(st.lists(selection, max_size=1))
    return Spec(model, *(beliefs or [MAR(draw(TEXTS))]), because=draw(TEXTS))


def refused(read, content, *, within: float | None = None) -> str:
    start = time.perf_counter()
    with pytest.raises(SpecError) as caught:
        read(content, "spec.yaml")
    assert within is None or time.perf_counter() - start < within
    message = str(caught.value)
    assert message.startswith("spec.yaml: ")
    assert "\n" not in message
    assert len(message) < 1200
    return message


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_specs_round_trip_exactly(spec, codec):
    write, read = codec
    assert read(write(spec)) == spec
    assert write(read(write(spec))) == write(spec)


@settings(max_examples=60, deadline=None)
@given(specs())
def test_any_spec_round_trips_exactly(spec):
    for write, read in CODECS.values():
        assert read(write(spec)) == spec


@settings(max_examples=200, deadline=None)
@given(TEXTS, NAMES)
def test_any_text_round_trips_exactly(because, column):
    spec = Spec(MvNormal(column), because=because)
    assert from_yaml(to_yaml(spec)) == spec
    assert from_json(to_json(spec)) == spec


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_odd_texts_round_trip(text):
    spec = Spec(Regression("y ~ x"), MAR(because=text), because=text)
    assert from_yaml(to_yaml(spec)) == spec == from_json(to_json(spec))


def test_other_yaml_readers_read_what_is_written():
    spec = SPECS["columns with odd names"]
    assert yaml.safe_load(to_yaml(spec)) == to_dict(spec)


def test_the_file_is_plain_and_leaves_defaults_out():
    spec = Spec(
        Regression("lwage ~ educ"),
        Heckman(
            "recorded(lwage) ~ educ + kids", priors={"rho": Prior("uniform", -1, 1)}, because="Low offers,\nno work."
        ),
        PatternMixture(Shift("lwage", -0.4, unit="sd")),
        because="Children move working: not the wage.",
    )
    assert spec.to_yaml() == (
        "mnarkit_spec: 1\n"
        "because: 'Children move working: not the wage.'\n"
        "model:\n"
        "  kind: Regression\n"
        "  formula: lwage ~ educ\n"
        "missingness:\n"
        "- kind: Heckman\n"
        "  formula: recorded(lwage) ~ educ + kids\n"
        "  priors:\n"
        "    rho: {prior: uniform, values: [-1, 1]}\n"
        "  because: |-\n"
        "    Low offers,\n"
        "    no work.\n"
        "- kind: PatternMixture\n"
        "  components:\n"
        "  - kind: Shift\n"
        "    column: lwage\n"
        "    amount: -0.4\n"
        "    unit: sd\n"
    )
    assert json.loads(spec.to_json()) == to_dict(spec)
    assert spec.to_json() == to_json(spec)


@pytest.mark.parametrize(("suffix", "write"), [(".yaml", to_yaml), (".yml", to_yaml), (".JSON", to_json)])
def test_files_are_read_by_suffix(tmp_path: Path, suffix, write):
    path = tmp_path / f"spec{suffix}"
    path.write_text(write(SPECS["all fields"]), encoding="utf-8")
    assert read_spec(path) == read_spec(str(path)) == SPECS["all fields"]


def test_a_byte_order_mark_is_no_hindrance(tmp_path: Path):
    spec = Spec(Regression("y ~ x"))
    for name, text in (("spec.yaml", spec.to_yaml()), ("spec.json", spec.to_json())):
        (tmp_path / name).write_text(text, encoding="utf-8-sig")
        assert read_spec(tmp_path / name) == spec


@pytest.mark.parametrize(
    ("written", "read"),
    [
        *[("1e-3", 1e-3), ("1E3", 1e3), ("-.5", -0.5), ("+2.", 2.0), ("5", 5), ("0", 0), ("1.5e+10", 1.5e10)],
        *[("true", True), ("false", False), ("null", None), ("~", None), ("'1e-3'", "1e-3")],
        *[(text, text) for text in ("no", "yes", "on", "Off", "True", "Null", "012", "0x1F", "0b1", "1_000", "1:30")],
        *[(text, text) for text in (".nan", ".inf", "2001-01-01", "2001-01-01T00:00:00Z")],
    ],
)
def test_a_plain_scalar_is_a_number_or_text_as_it_reads(written, read):
    (value,) = parse_yaml(f"[{written}]", "spec.yaml")
    assert value == read
    assert type(value) is type(read)


def shift(fields: str) -> str:
    return f"{HEAD}missingness: [{{kind: PatternMixture, components: [{{kind: Shift, column: y, {fields}}}]}}]"


BAD = {
    "empty": ("", "must be a mapping (name: value), not empty"),
    "list": ("[a]", "must be a mapping (name: value), not a list (['a'])"),
    "text": ("Regression", "must be a mapping (name: value), not text ('Regression')"),
    "no version": ("model: {kind: Regression, formula: y ~ x}", "has no version of its layout; add mnarkit_spec: 1"),
    "version": (HEAD.replace("1", "7", 1), "is a spec of version 7; this mnarkit reads version 1"),
    "version true": (HEAD.replace("1", "true", 1), "is a spec of version True"),
    "no model": ("mnarkit_spec: 1", "has no model; add model: {kind: Regression, formula: ...}"),
    "model text": ("mnarkit_spec: 1\nmodel: y ~ x", "model must be a mapping (name: value), not text ('y ~ x')"),
    "no kind": (
        "mnarkit_spec: 1\nmodel: {formula: y ~ x}",
        "model has no kind; add kind: one of Regression, Regressions, MvNormal",
    ),
    "kind": (HEAD + "missingness: [{kind: heckman}]", "missingness[0].kind 'heckman' is not known; use one of MAR, "),
    "near kind": (HEAD + "missingness: [{kind: heckman}]", "; did you mean 'Heckman'?"),
    "kind null": (HEAD + "missingness: [{kind: null}]", "missingness[0].kind None is not known"),
    "kind elsewhere": (HEAD + "missingness: [{kind: Shift}]", "missingness[0].kind 'Shift' is not known"),
    "field": (
        HEAD + "missingness: [{kind: MAR}, {kind: Heckman, formla: recorded(y) ~ z}]",
        "missingness[1].formla is not a field of Heckman; its fields are formula, priors, because; did you mean 'form",
    ),
    "top field": (HEAD + "missing: []", "missing is not a field of a spec file; its fields are mnarkit_spec, because,"),
    "odd field": (HEAD + '"a\\nb": 1', r"'a\nb' is not a field of a spec file"),
    "required": (HEAD + "missingness: [{kind: Selection}]", "missingness[0] has no formula; Selection needs formula"),
    "no components": (HEAD + "missingness: [{kind: PatternMixture}]", "missingness[0] has no components"),
    "empty components": (
        HEAD + "missingness: [{kind: PatternMixture, components: []}]",
        "missingness[0]: PatternMixture takes one or more",
    ),
    "null list": (HEAD + "missingness:", "missingness must be a list, not empty"),
    "beliefs": (HEAD + "missingness: {kind: MAR}", "missingness must be a list, not a mapping ({'kind': 'MAR'})"),
    "number for text": (HEAD + "because: 3", "because must be text, not a number (3); write it in quotes"),
    "bool for text": (HEAD + "because: true", "because must be text, not true/false (True); write it in quotes"),
    "null text": (HEAD + "because:", "because is empty; write text, or leave it out"),
    "number key": (HEAD + "1: 2", "has the key 1, which is a number (1); write it in quotes"),
    "column names": (
        "mnarkit_spec: 1\nmodel: {kind: MvNormal, columns: y1}",
        "model.columns must be a list, not text ('y1')",
    ),
    "column name": (
        "mnarkit_spec: 1\nmodel: {kind: MvNormal, columns: [y1, 1e-3]}",
        "model.columns[1] must be text, not a number (0.001); write it in quotes",
    ),
    "octal": (shift("amount: 012, unit: sd"), "components[0].amount must be a number or a prior such as"),
    "nan": (shift("amount: .nan, unit: sd"), "components[0].amount must be a number or a prior such as"),
    "infinite": (
        shift("amount: 1e999, unit: sd"),
        "components[0]: Shift of 'y' takes a finite number or a Prior, not i",
    ),
    "many digits": (shift(f"amount: {'9' * 5000}, unit: sd"), "takes a finite number or a Prior, not inf"),
    "bool amount": (shift("amount: true, unit: sd"), "amount must be a number or a prior such as"),
    "no unit": (shift("amount: 1"), "missingness[0].components[0]: the shift of 'y' has no unit; say unit= one of"),
    "prior list": (
        shift("amount: [1], unit: sd"),
        "components[0]: Shift of 'y' has 1 amounts for 1 columns; give one number",
    ),
    "prior family": (shift("amount: {prior: gauss, values: [0, 1]}, unit: sd"), "amount: the prior family 'gauss' is"),
    "prior field": (shift("amount: {prior: normal, value: [0, 1]}, unit: sd"), "amount.value is not a field of a"),
    "prior values": (shift("amount: {prior: normal, values: [0, one]}, unit: sd"), "values[1] must be a number, not"),
    "prior numbers": (shift("amount: {prior: normal, values: [0]}, unit: sd"), "amount: a normal prior takes 2 finite"),
    "prior without": (shift("amount: {prior: normal}, unit: sd"), "amount has no values; a prior is written {prior: "),
    "prior unit": (shift("amount: {prior: normal, values: [0, 1], unit: kg}, unit: sd"), "'sd' or 'raw', not 'kg'"),
    "priors": (
        HEAD + "missingness: [{kind: Selection, formula: missing(y) ~ y, priors: [1]}]",
        "missingness[0].priors must be a mapping (name: value), not a list",
    ),
    "prior of a term": (
        HEAD + "missingness: [{kind: Selection, formula: missing(y) ~ y, priors: {y: high}}]",
        "missingness[0].priors.y must be a number or a prior",
    ),
    "constructor": (
        HEAD + "missingness: [{kind: Selection, formula: missing(y) ~ y, link: cloglog}]",
        "missingness[0]: the link of a selection model is 'probit' or 'logit', not 'cloglog'",
    ),
    "spec": (HEAD + "missingness: [{kind: Selection, formula: missing(z) ~ z}]", "spec.yaml: Selection missing(z) ~ z"),
    "duplicate": (HEAD + "because: a\nbecause: b", "line 4: the key 'because' stands twice; keep one"),
    "nested duplicate": (shift("amount: 1, unit: sd, unit: raw"), "line 3: the key 'unit' stands twice"),
    "same key": (HEAD + "because: a\n'because': b", "line 4: the key 'because' stands twice"),
    "list as key": (HEAD + "? [a]\n: b", "line 3: a key is a list or a mapping; keys are text"),
    "merge": (HEAD + "<<: {because: a}", "'<<' is not a field of a spec file"),
    "two documents": (HEAD + "---\n" + HEAD, "line 3: "),
    "unclosed": ("a: [", "line 1: "),
    "not printable": ("a: \x00", "not YAML text: unacceptable character"),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD)
def test_bad_files_are_refused_with_the_place_and_the_fix(text, message):
    assert message in refused(from_yaml, text)


def test_a_formula_error_stays_a_formula_error():
    with pytest.raises(FormulaError, match=r"^the spec: missingness\[0\]: Selection takes 'missing\(y\) ~ ...'"):
        from_yaml(HEAD + "missingness: [{kind: Selection, formula: recorded(y) ~ y}]")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"mnarkit_spec": 1, "mnarkit_spec": 1}', "the key 'mnarkit_spec' stands twice; keep one"),
        ('{"mnarkit_spec": NaN}', "NaN is not a number that a spec can hold"),
        ('{"mnarkit_spec": -Infinity}', "-Infinity is not a number that a spec can hold"),
        ('{"mnarkit_spec": 1.0}', "is a spec of version 1.0"),
        ('{"mnarkit_spec": 1,}', "line 1: not JSON"),
        ("", "line 1: not JSON: Expecting value"),
        ("9" * 5000, "must be a mapping (name: value), not a number (inf)"),
        ("[" * 90_000, "nested deeper than"),
        ('{"a":' * 15_000, "nested deeper than"),
        ("[" * 500 + "]" * 500, "must be a mapping (name: value), not a list"),
        (" " * (MAX_BYTES + 1), "100,001 characters; a spec file has at most 100,000 bytes"),
    ],
)
def test_bad_json_is_refused(text, message):
    assert message in refused(from_json, text, within=5)


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.system ['touch {0}']",
        "!!python/object/new:os.system ['touch {0}']",
        "!!python/name:os.system",
        "!!python/module:os",
        "!custom {{a: b}}",
        "!!str text",
        "!!float '1'",
        "! text",
        "!!binary aGVsbG8=",
    ],
)
def test_tags_are_refused_and_run_nothing(tmp_path: Path, tag):
    proof = tmp_path / "ran"
    for place in ("because: {}", "{}: because", "model: [{}]"):
        assert "tags (!...) are not read" in refused(from_yaml, HEAD + "extra:\n  " + place.format(tag.format(proof)))
    assert not proof.exists()


ATTACKS = {
    "billion laughs": "a0: &a0 [x, x]\n" + "".join(f"a{k}: &a{k} [*a{k - 1}, *a{k - 1}]\n" for k in range(1, 40)),
    "recursion": "&a [*a]",
    "anchor alone": HEAD + "because: &x text",
    "alias alone": HEAD + "because: *x",
    "deep lists": "[" * 99_000,
    "deep mappings": "{a: " * 24_000,
    "deep blocks": "- " * 49_000,
    "deep keys": "? " * 49_000,
    "deep enough": "[" * 21 + "]" * 21,
    "huge": HEAD + "because: " + "x" * MAX_BYTES,
    "many items": "[" + "a, " * 33_000 + "]",
    "same key often": "a: b\n" * 19_000,
    "long tag": "!<" + "a" * 99_000,
    "open quote": "'" + "a ''" * 24_000,
}


@pytest.mark.parametrize("text", ATTACKS.values(), ids=ATTACKS)
def test_attacks_are_refused_in_little_time(text):
    refused(from_yaml, text, within=10)


def test_depth_and_aliases_are_named_as_the_reason():
    assert "nested deeper than 20 levels" in refused(from_yaml, ATTACKS["deep enough"])
    assert "line 1: anchors and aliases" in refused(from_yaml, ATTACKS["billion laughs"])


KEYS = st.sampled_from(
    ["mnarkit_spec", "model", "missingness", "kind", "formula", "priors", "columns", "prior", "values"]
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(PLAIN)
def test_any_other_data_is_a_one_line_error(data):
    base = {"mnarkit_spec": 1, "model": {"kind": "Regression", "formula": "y ~ x"}}
    for changed in (data, base | {"missingness": [data]}, base | {"model": data}, base | {"because": [data]}):
        refused(from_dict, changed)


def read_error(path: Path) -> str:
    with pytest.raises(SpecError) as caught:
        read_spec(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path):
    assert read_error(tmp_path / "spec.yaml") == f"{tmp_path / 'spec.yaml'}: there is no such file"
    assert "ends in .yaml, .yml or .json, not in '.toml'" in read_error(tmp_path / "spec.toml")
    (tmp_path / "folder.yaml").mkdir()
    assert "is not an ordinary file" in read_error(tmp_path / "folder.yaml")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.yaml")
        assert "is not an ordinary file" in read_error(tmp_path / "pipe.yaml")
    (tmp_path / "latin.yaml").write_bytes("because: naïve".encode("latin-1"))
    assert "is not UTF-8 text (byte 11)" in read_error(tmp_path / "latin.yaml")
    (tmp_path / "huge.json").write_bytes(b" " * (MAX_BYTES + 1))
    assert "is larger than 100,000 bytes" in read_error(tmp_path / "huge.json")


def test_a_file_that_the_system_refuses_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "spec.yaml"
    path.write_text(HEAD)

    def denied(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    assert read_error(path) == f"{path}: cannot be read (Permission denied)"


def test_errors_of_a_file_name_the_file(tmp_path: Path):
    path = tmp_path / "spec.yaml"
    path.write_text(HEAD + "becuase: a")
    assert read_error(path).startswith(f"{path}: becuase is not a field of a spec file")
    assert read_error(path).endswith("did you mean 'because'?")

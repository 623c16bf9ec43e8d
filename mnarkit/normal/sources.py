"""Where rows come from: a table in memory, Parquet files larger than memory, a Dask table on a cluster."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import lazy_loader
import numpy as np
import pandas as pd
import pyarrow
import pyarrow.dataset as parquet

from mnarkit.data import LARGEST, IncompleteData
from mnarkit.errors import DataError, SpecError
from mnarkit.formula import Formula, design
from mnarkit.normal.moments import Moments, Origin, Raw, add, gather, moments, raw_of
from mnarkit.normal.rank import Turn, check_moments
from mnarkit.spec.spec import Spec

__all__ = ["is_table", "moments_of", "require_columns"]

_BLOCK = 131_072  # rows at a time: fixed, so that sums do not depend on how many are read at once
dask: Any = lazy_loader.load("dask", error_on_import=False)


type Block = tuple[np.ndarray, np.ndarray]


def is_table(source: Any) -> bool:
    """Whether a source is a table in memory."""
    return not (isinstance(source, (str, Path)) or _is_dataset(source) or _is_dask(source))


def moments_of(spec: Spec, source: Any) -> Moments:
    """Reduce a table to the moments of a data model under MAR.

    Parameters
    ----------
    spec : Spec
        Its data model says which columns.
    source : IncompleteData, DataFrame, path, pyarrow.dataset.Dataset or Dask DataFrame
        The table.

    Raises
    ------
    SpecError, DataError
        A column that is not there, or cannot be used; a term that needs the whole table in a chunked source.
    """
    columns = spec.model.columns
    if is_table(source):
        data = IncompleteData.of(source)
        terms, rows = _table_blocks(spec.model.predictors, columns, data)
        return _finish(lambda turn: gather(_turned(rows(), turn)), columns, terms)
    terms = _plain_terms(spec.model.predictors)
    predictors = tuple(t for t in terms if t != "Intercept")
    if _is_dask(source):
        return _finish(lambda turn: _from_dask(source, predictors, columns, turn), columns, terms)
    return _finish(lambda turn: gather(_turned(_parquet_blocks(source, predictors, columns), turn)), columns, terms)


def _turned(blocks: Iterator[Block], turn: Turn | None) -> Iterator[Block]:
    return blocks if turn is None else ((turn(x), y) for x, y in blocks)


def require_columns(source: Any, names: Iterable[str]) -> None:
    """Check that a source read in chunks has the columns that a spec names.

    Raises
    ------
    DataError
        A column that is not there, or a source that cannot be read.
    """
    names = tuple(names)
    if not names:
        return
    if _is_dask(source):
        held, what = list(source.columns), "the Dask table"
    else:
        held, what = list(_opened(source).schema.names), "the Parquet dataset"
    for name in names:
        if name not in held:
            raise DataError(f"{what} has no column {name!r}; its columns are {', '.join(map(repr, held[:12]))}")


def _finish(
    read: Callable[[Turn | None], tuple[Raw, Origin]], columns: tuple[str, ...], terms: tuple[str, ...]
) -> Moments:
    """Check what was read; where predictors are nearly collinear, read it once more with these turned apart."""
    made = _checked(*read(None), columns, terms)
    turn = check_moments(made)
    if turn is None:
        return made
    made = moments(*read(turn), columns, terms)
    return replace(made, x_map=turn.before(made.x_map, terms))


def _checked(raw: Raw, origin: Origin, columns: tuple[str, ...], terms: tuple[str, ...]) -> Moments:
    predictors = [t for t in terms if t != "Intercept"]
    for name, count in zip(columns, raw.infinite, strict=True):
        if count:
            raise DataError(f"{name!r} has {count} infinite values; make them missing or finite")
    for name, count in zip(predictors, raw.holes, strict=True):
        if count:
            raise DataError(f"{name!r} has {count} holes or infinite values; predictors are fully seen")
    _check_magnitudes(raw, origin, [*predictors, *columns])
    recorded = raw.seen.T @ raw.count
    needed = len(terms) + 1
    for name, count in zip(columns, recorded, strict=True):
        if count < needed:
            raise DataError(
                f"{name!r} has {count} recorded values in {raw.count.sum()} rows for {needed} parameters "
                f"({', '.join(terms)}, sd); leave it out, or use more rows"
            )
    made = moments(raw, origin, columns, terms)
    varies = np.array([_varies(made, j) for j in range(len(columns))])
    if not varies.all():
        raise DataError(f"{columns[int(np.argmin(varies))]!r} is constant where recorded; leave it out of the model")
    q = len(terms)
    if made.n < q + len(columns):
        raise DataError(
            f"{made.n} rows have a recorded value for {len(columns)} modelled columns on {q} terms, which need "
            f"at least {q + len(columns)}; use fewer columns or predictors"
        )
    return made


def _check_magnitudes(raw: Raw, origin: Origin, names: list[str]) -> None:
    """As `check_magnitude`, by root mean squares about the origin, which are what pseudo-rows keep."""
    with np.errstate(over="ignore", invalid="ignore"):
        most = np.abs(raw.rows[:, 1:]).max(axis=0, initial=0.0) / np.sqrt(max(int(raw.count.sum()), 1))
        size = np.maximum(np.abs(origin.center), origin.scale * np.maximum(most, 1.0))
    for name, largest, scale in zip(names, size, origin.scale, strict=True):
        if not largest <= LARGEST:
            how = f"is of magnitude {largest:.0e}" if np.isfinite(largest) else f"has values far beyond {LARGEST:g}"
            raise DataError(f"{name!r} {how}; rescale it, to below {LARGEST:g} in size")
        if scale < 1 / LARGEST:
            raise DataError(f"{name!r} varies by {scale:.0e} alone; rescale it, to above {1 / LARGEST:g}")


def _varies(made: Moments, j: int) -> bool:
    """Whether a column has a variance: standardised by its own, its squares then add up to its count less one."""
    if "Intercept" not in made.terms:
        return True
    column = made.rows[:, len(made.terms) + j]
    return bool(column @ column > 0.5)


def _table_blocks(
    predictors: Formula, columns: tuple[str, ...], data: IncompleteData
) -> tuple[tuple[str, ...], Callable[[], Iterator[Block]]]:
    data.require(columns, "the spec")
    for column in columns:
        data.require_numeric(column)
    plain = [t.name for t in predictors.terms] == ["1"]
    built = None if plain else design(predictors, data)
    terms = ("Intercept",) if built is None else built.names
    moving = [k for k, t in enumerate(terms) if t != "Intercept"]
    frame = data.frame if data.columns == columns else data.frame[list(columns)]

    def blocks() -> Iterator[Block]:
        for first in range(0, data.n, _BLOCK):
            here = slice(first, first + _BLOCK)
            y = frame.iloc[here].to_numpy(dtype=np.float64, na_value=np.nan)
            x = np.empty((len(y), 0)) if built is None else built.matrix[here][:, moving]
            yield np.ascontiguousarray(x), np.ascontiguousarray(y)

    return terms, blocks


def _plain_terms(predictors: Formula) -> tuple[str, ...]:
    """Terms of a chunked source: the intercept and columns as they are, which no chunk needs the others for."""
    for term in predictors.terms:
        if term.name != "1" and not term.bare:
            raise SpecError(
                f"{term.name!r} needs the whole table, and this one is read in chunks; compute it as a column first"
            )
    return tuple("Intercept" if t.name == "1" else t.name for t in predictors.terms)


def _split(frame: pd.DataFrame, predictors: tuple[str, ...], columns: tuple[str, ...], part: str) -> Block:
    """Read the columns of a chunk as numbers."""
    for name in (*predictors, *columns):
        if name not in frame.columns:
            raise DataError(
                f"{part} has no column {name!r}; its columns are {', '.join(map(repr, frame.columns[:12]))}"
            )
    nothing = [n for n in (*predictors, *columns) if frame[n].dtype == object and frame[n].isna().all()]
    frame = frame.assign(**dict.fromkeys(nothing, np.nan)) if nothing else frame  # type null: a part without a value
    data = IncompleteData(frame)
    for name in (*predictors, *columns):
        data.require_numeric(name)
    x, y = (frame[list(n)].to_numpy(dtype=np.float64, na_value=np.nan) for n in (predictors, columns))
    return np.ascontiguousarray(x), np.ascontiguousarray(y)


# Parquet


def _is_dataset(source: Any) -> bool:
    return type(source).__module__.startswith("pyarrow") and hasattr(source, "to_batches") and hasattr(source, "files")


def _opened(source: Any) -> Any:
    """Open a Parquet file or folder; columns that stand in the names of folders (`year=2000`) are columns too."""
    if not isinstance(source, (str, Path)):
        return source
    if not Path(source).exists():
        raise DataError(f"{str(source)!r} is not there; name a Parquet file or a folder of them")
    with _readable(repr(str(source))):
        return parquet.dataset(str(source), format="parquet", partitioning="hive")


@contextmanager
def _readable(what: str) -> Iterator[None]:
    """Say in one line what cannot be read."""
    try:
        yield
    except (pyarrow.ArrowException, OSError) as error:
        why = " ".join(str(error).split()).rsplit("': ", 1)[-1].rstrip(".")
        raise DataError(
            f"{what} cannot be read as Parquet ({why if len(why) <= 120 else f'{why[:117]}...'}): a source is a "
            "Parquet file, or a folder of nothing else; read other tables first, such as with pd.read_csv"
        ) from error


def _parquet_blocks(source: Any, predictors: tuple[str, ...], columns: tuple[str, ...]) -> Iterator[Block]:
    """One fragment after another, one batch at a time: what is held does not grow with the files."""
    wanted = list(dict.fromkeys((*predictors, *columns)))
    found = 0
    for fragment in _opened(source).get_fragments():
        part = f"the part {Path(fragment.path).name!r}"
        folders = parquet.get_partition_keys(fragment.partition_expression)
        with _readable(part):
            stored = fragment.physical_schema.names
        missing = [name for name in wanted if name not in stored and name not in folders]
        if missing:
            names = ", ".join(map(repr, [*stored, *folders][:12]))
            raise DataError(f"{part} has no column {missing[0]!r}; its columns are {names}")
        for frame in _frames(fragment, [name for name in wanted if name in stored], part):
            given = {name: folders[name] for name in wanted if name not in stored}
            found += len(frame)
            yield _split(frame.assign(**given), predictors, columns, part)
    if not found:
        raise DataError("the Parquet dataset has 0 rows")


def _frames(fragment: Any, names: list[str], part: str) -> Iterator[pd.DataFrame]:
    with _readable(part):
        batches = fragment.to_batches(
            columns=names, batch_size=_BLOCK, batch_readahead=1, fragment_readahead=1, use_threads=False
        )
    while True:
        with _readable(part):
            batch = next(batches, None)
        if batch is None:
            return
        if batch.num_rows:
            yield batch.to_pandas()


# Dask


def _is_dask(source: Any) -> bool:
    return type(source).__module__.startswith("dask")


def _from_dask(
    source: Any, predictors: tuple[str, ...], columns: tuple[str, ...], turn: Turn | None
) -> tuple[Raw, Origin]:
    """A map over partitions and a tree of sums, about an origin that the first rows give."""
    wanted = list(dict.fromkeys((*predictors, *columns)))
    missing = [name for name in wanted if name not in source.columns]
    if missing:
        raise DataError(
            f"the Dask table has no column {missing[0]!r}; its columns are {', '.join(map(repr, source.columns[:12]))}"
        )
    head = source[wanted].head(4096, npartitions=-1, compute=True)
    if not len(head):
        raise DataError("the Dask table has 0 rows")
    origin = Origin.near(*next(_turned(iter([_split(head, predictors, columns, "the Dask table")]), turn)))
    reduce_part, merge = dask.delayed(_reduced, pure=True), dask.delayed(add, pure=True)
    level = [reduce_part(part, predictors, columns, origin, turn) for part in source[wanted].to_delayed()]
    while len(level) > 1:
        level = [merge(level[k : k + 8]) for k in range(0, len(level), 8)]
    return dask.compute(level[0])[0], origin


def _reduced(
    frame: pd.DataFrame, predictors: tuple[str, ...], columns: tuple[str, ...], origin: Origin, turn: Turn | None
) -> Raw:
    starts = range(0, max(len(frame), 1), _BLOCK)
    blocks = (_split(frame.iloc[k : k + _BLOCK], predictors, columns, "a partition") for k in starts)
    return add([raw_of(x, y, origin) for x, y in _turned(blocks, turn)])

"""Attempts: an analysis run on every table, in one process or in several, with what fails kept."""

import pickle
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from typing import Any

import lazy_loader
import pandas as pd

from mnarkit.analyze.answers import Answer, read
from mnarkit.errors import DataError
from mnarkit.estimates import first_line, which
from mnarkit.progress import Line

__all__ = ["answers"]

joblib: Any = lazy_loader.load("joblib")


@dataclass(frozen=True, slots=True, eq=False)
class _Failure:
    """What an analysis raised, in one line and whole; or why what it returned is refused."""

    reason: str
    cause: BaseException
    refusal: DataError | None = None


def answers(
    function: Callable[[pd.DataFrame], Any], label: str, tables: Any, *, workers: int = 1, progress: bool = True
) -> list[Answer]:
    """Run an analysis on every table; if it fails on some, all are tried and the error names them."""
    m, tried = len(tables), []
    with Line(progress) as line:
        for answer in _attempts(function, label, tables, workers):
            tried.append(answer)
            line.tell_share(len(tried), m, f"analyze ({label}):")
    refused = [answer.refusal for answer in tried if isinstance(answer, _Failure) and answer.refusal]
    failed = {k: answer for k, answer in enumerate(tried) if isinstance(answer, _Failure) and not answer.refusal}
    if refused:
        raise refused[0]
    if failed:
        cause = next(iter(failed.values())).cause
        raise DataError(f"the analysis {label!r} failed in {_failures(failed, m)}") from cause
    return tried


def _attempts(
    function: Callable[[pd.DataFrame], Any], label: str, tables: Any, workers: int
) -> Iterable[Answer | _Failure]:
    m = len(tables)
    if min(workers, m) == 1:
        return (_attempt(function, label, table, which(k, m)) for k, table in enumerate(tables))
    calls = (joblib.delayed(_elsewhere)(function, label, table, which(k, m)) for k, table in enumerate(tables))
    return _told(joblib.Parallel(n_jobs=min(workers, m), return_as="generator")(calls), label)


def _told(answers: Iterable[Answer | _Failure], label: str) -> Iterator[Answer | _Failure]:
    try:
        yield from answers
    except (pickle.PicklingError, BrokenProcessPool) as cause:
        raise DataError(
            f"the analysis {label!r} cannot run in other processes ({first_line(cause)}); workers=1 runs it in this one"
        ) from cause


def _elsewhere(function: Callable[[pd.DataFrame], Any], label: str, table: Any, place: str) -> Answer | _Failure:
    """As `_attempt`, where not every exception can travel back: its traceback goes as text."""
    answer = _attempt(function, label, table, place)
    if isinstance(answer, _Failure) and not answer.refusal:
        return replace(answer, cause=RuntimeError("".join(traceback.format_exception(answer.cause))))
    return answer


def _attempt(function: Callable[[pd.DataFrame], Any], label: str, table: Any, place: str) -> Answer | _Failure:
    """Read what the function returns for one table; what it raises is kept."""
    if not isinstance(table, pd.DataFrame):
        refusal = DataError(f"{place} is not a DataFrame but {type(table).__name__}")
        return _Failure("", refusal, refusal)
    try:
        answer = function(table.copy(deep=False))
    except Exception as cause:
        return _Failure(first_line(cause), cause)
    try:
        return read(answer, f"the analysis {label!r} in {place}")
    except DataError as refusal:
        return _Failure("", refusal, refusal)


def _failures(failed: dict[int, _Failure], m: int) -> str:
    """'imputation 2 of 3: ValueError: ...', or '2 of 3 imputations: 1 and 3 (ValueError: ...)', by reason."""
    reasons: dict[str, list[str]] = {}
    for k, failure in failed.items():
        reasons.setdefault(failure.reason, []).append(str(k + 1))
    if len(failed) == 1:
        return f"{which(next(iter(failed)), m)}: {next(iter(reasons))}"
    told = [f"{', '.join(numbers)} ({reason})" for reason, numbers in reasons.items()]
    return f"{len(failed)} of {m} imputations: {'; '.join(told)}"

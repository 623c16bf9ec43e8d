"""One HTML file without links: every text escaped, every figure inside it."""

import base64
from collections.abc import Iterable, Mapping
from html import escape
from io import BytesIO

import numpy as np
import pandas as pd

from mnarkit.plots import Canvas, save

__all__ = ["Raw", "bold", "code", "details", "document", "facts", "figure", "items", "paragraph", "section", "table"]

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; color: #222; background: #fff;
  max-width: 60rem; margin: 2rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 .6rem; padding-bottom: .2rem; border-bottom: 2px solid #0072B2; }
h3 { font-size: 1rem; margin: 1.3rem 0 .4rem; }
p, ul { margin: .4rem 0 .8rem; }
.quiet { color: #555; font-size: .9rem; }
.assumption { border-left: 4px solid #D55E00; background: #fdf3ec; padding: .6rem .9rem; margin: .5rem 0 1rem; }
.alarm td { background: #fdf3ec; }
.wide { overflow-x: auto; margin: .4rem 0 1rem; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .7rem; border-bottom: 1px solid #ddd; text-align: right; vertical-align: top;
  white-space: nowrap; }
th { border-bottom: 1.5px solid #555; font-weight: 600; }
th.text, td.text { text-align: left; white-space: normal; min-width: 5rem; }
td.long { min-width: 20rem; }
pre { background: #f5f5f5; padding: .7rem .9rem; overflow-x: auto; font-size: .83rem; line-height: 1.4; }
pre.wrapped { white-space: pre-wrap; }
figure { margin: .8rem 0 1.2rem; }
img { max-width: 100%; height: auto; }
figcaption { color: #555; font-size: .9rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; margin: .4rem 0 1rem; }
dt { color: #555; } dd { margin: 0; overflow-wrap: anywhere; }
summary { cursor: pointer; color: #0072B2; }
@media print { body { margin: 0; max-width: none; } h2 { break-after: avoid; } figure, tr { break-inside: avoid; } }
"""


class Raw(str):
    """HTML that is made already; every other text is escaped."""

    __slots__ = ()


def _made(text: object) -> str:
    return text if isinstance(text, Raw) else escape(str(text))


def _joined(parts: Iterable[object]) -> Raw:
    return Raw("".join(map(_made, parts)))


def bold(text: object) -> Raw:
    """Strong text."""
    return Raw(f"<strong>{_made(text)}</strong>")


def paragraph(*parts: object, kind: str = "") -> Raw:
    """A paragraph, of a kind that the style knows."""
    return Raw(f"<p{_class(kind)}>{_joined(parts)}</p>")


def code(text: str, *, wrapped: bool = False) -> Raw:
    """Lines as they stand, or long ones wrapped."""
    return Raw(f"<pre{_class('wrapped' if wrapped else '')}>{_made(text)}</pre>")


def items(texts: Iterable[object]) -> Raw:
    """A list."""
    return Raw(f"<ul>{''.join(f'<li>{_made(text)}</li>' for text in texts)}</ul>")


def facts(pairs: Mapping[str, object]) -> Raw:
    """Names beside what they are."""
    return Raw(f"<dl>{''.join(f'<dt>{_made(k)}</dt><dd>{_made(v)}</dd>' for k, v in pairs.items())}</dl>")


def details(summary: str, *parts: object) -> Raw:
    """What opens on a click."""
    return Raw(f"<details><summary>{_made(summary)}</summary>{_joined(parts)}</details>")


def section(title: str, *parts: object) -> Raw:
    """A part of the page under a heading."""
    return Raw(f"<section><h2>{_made(title)}</h2>{_joined(parts)}</section>")


def table(frame: pd.DataFrame, *, digits: int = 4, marked: Iterable[bool] | None = None) -> Raw:
    """A table without its index; numbers by significant digits, marked rows in colour."""
    texts = [not pd.api.types.is_numeric_dtype(frame[c]) or pd.api.types.is_bool_dtype(frame[c]) for c in frame]
    head = "".join(f"<th{_class('text' if t else '')}>{_made(c)}</th>" for c, t in zip(frame, texts, strict=True))
    marks = list(marked) if marked is not None else [False] * len(frame)
    body = "".join(
        f"<tr{_class('alarm' if mark else '')}>{_cells(row, texts, digits)}</tr>"
        for row, mark in zip(frame.itertuples(index=False), marks, strict=True)
    )
    return Raw(f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>')


def _cells(row: Iterable[object], texts: list[bool], digits: int) -> str:
    return "".join(
        f"<td{_class(('text long' if len(str(v)) > 60 else 'text') if text else '')}>{_made(_said(v, digits))}</td>"
        for v, text in zip(row, texts, strict=True)
    )


def _said(value: object, digits: int) -> object:
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (float, np.floating)):
        return "–" if np.isnan(value) else f"{value:.{digits}g}"
    return value


def figure(drawn: Canvas, caption: str) -> Raw:
    """A figure as PNG inside the page, described by its caption."""
    stream = BytesIO()
    save(drawn, stream, dpi=130)
    data = base64.b64encode(stream.getvalue()).decode("ascii")
    width = round(drawn.get_figwidth() * 96)
    return Raw(
        f'<figure><img width="{width}" alt="{escape(caption)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def document(title: str, parts: Iterable[Raw]) -> str:
    """The whole file; a policy in it forbids scripts and everything from elsewhere."""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(map(_made, parts))
        + "\n</body></html>\n"
    )


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""

"""HTML that cannot be broken by what it shows: every text is escaped where it enters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, final

from ctrl.pictures.style import data_uri

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Nothing may be loaded from anywhere, and no script can run.
_POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
_VOID = ("img", "meta", "source")
_STYLE = """
:root { --ink: #1c2430; --soft: #5b6675; --line: #e2e6eb; --page: #f5f6f8; --accent: #0b5cad; }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "Liberation Sans", Arial, sans-serif; }
header { background: #17202c; color: #fff; padding: 26px 0 22px; }
header p { margin: 4px 0 0; color: #b9c4d2; }
header, nav, main { padding-left: max(20px, calc(50vw - 560px));
  padding-right: max(20px, calc(50vw - 560px)); }
nav { position: sticky; top: 0; z-index: 1; background: #fff; border-bottom: 1px solid var(--line);
  padding-top: 9px; padding-bottom: 9px; }
nav a { margin-right: 20px; color: var(--accent); text-decoration: none; font-weight: 500; }
nav a:hover { text-decoration: underline; }
main { padding-top: 8px; padding-bottom: 60px; }
h1 { margin: 0; font-size: 25px; letter-spacing: -0.2px; }
h2 { margin: 34px 0 12px; font-size: 20px; scroll-margin-top: 52px; }
h3 { margin: 0 0 10px; font-size: 15.5px; overflow-wrap: anywhere; }
h4 { margin: 20px 0 6px; font-size: 14px; color: var(--soft); font-weight: 600; }
.card { background: #fff; border: 1px solid var(--line); border-radius: 8px; padding: 18px 20px;
  margin: 0 0 16px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; }
th, td { text-align: left; padding: 6px 20px 6px 0; border-bottom: 1px solid var(--line);
  vertical-align: top; overflow-wrap: anywhere; }
th { color: var(--soft); font-weight: 600; font-size: 13px; white-space: nowrap; }
td small { display: block; color: var(--soft); white-space: nowrap; }
td.number, th.number { text-align: right; white-space: nowrap; }
tr:last-child td { border-bottom: 0; }
img { display: block; max-width: 100%; height: auto; }
video { display: block; max-width: 100%; border-radius: 6px; background: #000; }
.note { color: var(--soft); margin: 6px 0; overflow-wrap: anywhere; }
.warning { border-left: 4px solid #d98e04; background: #fff8ea; padding: 8px 14px; margin: 0 0 8px;
  border-radius: 0 6px 6px 0; overflow-wrap: anywhere; }
.kind { display: inline-block; background: #fdeceb; color: #a3261b; border-radius: 4px;
  padding: 0 7px; font-size: 13px; font-weight: 600; }
details { margin-top: 12px; }
summary { cursor: pointer; color: var(--accent); }
pre { background: #f7f8fa; border: 1px solid var(--line); border-radius: 6px; padding: 12px 14px;
  overflow-x: auto; font: 12.5px/1.45 ui-monospace, "DejaVu Sans Mono", Consolas, monospace; }
.pair { display: grid; grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); gap: 22px; }
@media (max-width: 800px) { .pair { grid-template-columns: 1fr; } }
@media print { nav { display: none; } body { background: #fff; } }
"""


@final
class Html(str):
    """Text that is HTML already; any other text is escaped."""


def element(tag: str, *children: str, **attributes: str | bool) -> Html:
    """Return an element with its children; what is no `Html` is escaped.

    Args:
        tag: its name.
        *children: text and elements.
        **attributes: True writes the bare name, False nothing; ``class_`` writes ``class``.
    """
    written = "".join(
        f" {name.rstrip('_')}" if value is True else f' {name.rstrip("_")}="{escape(str(value))}"'
        for name, value in attributes.items()
        if value is not False
    )
    if tag in _VOID:
        return Html(f"<{tag}{written}>")
    return Html(f"<{tag}{written}>{''.join(map(_text, children))}</{tag}>")


def together(parts: Iterable[str]) -> Html:
    """Return elements one after the other."""
    return Html("\n".join(map(_text, parts)))


def table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[str] = ()
) -> Html:
    """Return a table.

    Args:
        headings: of the columns.
        rows: a cell per column.
        numbers: headings of the columns that are aligned to the right.
    """
    kinds = ["number" if heading in numbers else "" for heading in headings]

    def row(tag: str, cells: Sequence[str]) -> Html:
        return element("tr", *(
            element(tag, cell, class_=kind) if kind else element(tag, cell)
            for cell, kind in zip(cells, kinds, strict=True)
        ))  # fmt: skip

    body = together(row("td", cells) for cells in rows)
    whole = element("table", element("thead", row("th", headings)), element("tbody", body))
    return element("div", whole, class_="scroll")


def picture(figure: Figure, text: str, kind: str = "svg") -> Html:
    """Return a figure as a picture in its own size, or as wide as there is room.

    Args:
        figure: drawn inside `ctrl.pictures.style.own_style`.
        text: what it shows, for those who cannot see it.
        kind: see `ctrl.pictures.style.data_uri`.
    """
    width = str(round(96 * figure.get_figwidth()))
    return element("img", src=data_uri(figure, kind), alt=text, width=width)


def page(title: str, subtitle: str, sections: Sequence[tuple[str, str, str]]) -> str:
    """Return a whole page that loads nothing.

    Args:
        title: of the page.
        subtitle: below it.
        sections: id, heading and content of each.
    """
    links = [element("a", heading, href=f"#{place}") for place, heading, _ in sections]
    body = [
        element("header", element("h1", title), element("p", subtitle)),
        element("nav", *links),
        element("main", together(
            element("section", element("h2", heading, id=place), content)
            for place, heading, content in sections
        )),
    ]  # fmt: skip
    head = element(
        "head",
        element("meta", charset="utf-8"),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">'),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        Html(f"<style>{_STYLE}</style>"),
    )
    content = element("html", head, element("body", together(body)), lang="en")
    return f"<!doctype html>\n{content}\n"


def _text(part: str) -> str:
    return part if isinstance(part, Html) else escape(part)

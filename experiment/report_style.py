"""How a report looks: one style sheet, light and dark, and for paper."""

STYLE = """
:root { color-scheme: light dark; --paper: #fbfaf7; --ink: #22262b; --soft: #646b73; --rule: #dedbd3; --card: #ffffff;
  --blue: #2f6fb0; --orange: #d3691a; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171b; --ink: #e6e4df; --soft: #9aa1a9; --rule: #30353c;
  --card: #1b1f24; --blue: #6aa9e6; --orange: #f09a52; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 3.5rem 1.5rem 4rem; max-width: 62rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", sans-serif;
  overflow-wrap: anywhere; }
h1 { margin: 0; font-size: 2.3rem; line-height: 1.15; letter-spacing: -.02em; text-wrap: balance; }
h2 { margin: 3.2rem 0 .9rem; font-size: 1.25rem; line-height: 1.3; letter-spacing: -.01em; }
h3 { margin: 1.6rem 0 .3rem; font-size: .85rem; color: var(--soft); font-weight: 600; }
p { margin: .6rem 0; max-width: 44rem; }
.over { margin: 0 0 .6rem; color: var(--orange); font-weight: 600; font-size: .9rem; }
.under { color: var(--soft); font-size: 1.05rem; }
.note, figcaption { color: var(--soft); font-size: .9rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: 0; margin: 2.2rem 0 0;
  border-top: 1px solid var(--rule); border-bottom: 1px solid var(--rule); }
.figures div { padding: 1rem 1.2rem 1rem 0; }
.figures dt { color: var(--soft); font-size: .85rem; }
.figures dd { margin: .1rem 0 0; font-size: 1.7rem; line-height: 1.25; font-weight: 600; letter-spacing: -.01em;
  font-variant-numeric: tabular-nums; }
.figures small { display: block; font-size: .8rem; font-weight: 400; letter-spacing: 0; color: var(--soft); }
.first { display: grid; grid-template-columns: minmax(0, 1fr) 15rem; gap: 2.5rem; align-items: start; }
.first h2:first-child { margin-top: 3.2rem; }
.first figure { margin: 3.2rem 0 0; }
video, figure img { display: block; width: 100%; height: auto; border-radius: .5rem; background: var(--rule); }
figcaption { margin-top: .5rem; line-height: 1.45; }
.chart { display: block; width: 100%; max-width: 44rem; height: auto; margin: .8rem 0 0; overflow: visible; }
.chart text { fill: var(--soft); font-size: 12px; font-variant-numeric: tabular-nums; }
.grid { stroke: var(--rule); }
.bar { fill: var(--blue); }
.capped { fill: var(--orange); }
.chart .line { fill: none; stroke: var(--blue); stroke-width: 2; stroke-linejoin: round; }
.whisker { stroke: var(--orange); stroke-width: 1.5; }
.chart .dot { fill: var(--orange); stroke: var(--paper); stroke-width: 1.5; }
.keys { color: var(--soft); font-size: .85rem; }
.key { margin-right: 1.4rem; }
.key::before { content: ""; display: inline-block; width: .7rem; height: .7rem; margin-right: .45rem;
  border-radius: 50%; background: var(--orange); }
.key.line::before { height: .18rem; width: 1.1rem; vertical-align: .22rem; border-radius: 0; background: var(--blue); }
.moment { display: grid; grid-template-columns: repeat(3, minmax(0, 14rem)); gap: 1rem; margin: 1.2rem 0 0; }
.moment figure { margin: 0; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .32rem 1rem .32rem 0; border-bottom: 1px solid var(--rule); text-align: left; vertical-align: top; }
th { width: 34%; font-weight: 400; color: var(--soft); }
.groups { columns: 2; column-gap: 2.5rem; }
.groups section { break-inside: avoid; }
.groups section:first-child h3 { margin-top: 0; }
pre { margin: .6rem 0; padding: .8rem 1rem; background: var(--card); border: 1px solid var(--rule);
  border-radius: .5rem; white-space: pre-wrap; font: .85rem/1.55 ui-monospace, Menlo, Consolas, monospace; }
details { margin: .8rem 0; font-size: .9rem; }
summary { cursor: pointer; color: var(--soft); }
footer { margin-top: 3.5rem; padding-top: 1rem; border-top: 1px solid var(--rule); color: var(--soft);
  font-size: .85rem; }
@media (max-width: 44rem) { body { padding-top: 2rem; } .first { grid-template-columns: 1fr; gap: 0; }
  .first figure { max-width: 15rem; } .groups { columns: 1; } h1 { font-size: 1.8rem; } }
@media print { :root { color-scheme: light; --paper: #fff; --ink: #000; --soft: #444; --rule: #bbb; --card: #fff;
  --blue: #2f6fb0; --orange: #c05a10; } body { padding: 0; font-size: 10pt; max-width: none; }
  h2 { margin-top: 1.6rem; break-after: avoid; } .first h2:first-child, .first figure { margin-top: 1.6rem; }
  figure, .chart, .moment, tr, pre { break-inside: avoid; }
  .bar, .capped, .key::before { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""

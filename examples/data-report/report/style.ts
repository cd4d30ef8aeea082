/** The report's style sheet: one column of reading width, light and dark, phone and paper. */
import { ACCENT, GRID, INK, MUTED, SOFT, WARM } from "../charts/render.ts";

/** Charts are drawn in the light scheme's colours; in the dark these rules repaint them. */
const repaint = (from: string, to: string) =>
  `figure svg [fill="${from}"]{fill:${to}} figure svg [stroke="${from}"]{stroke:${to}}`;

export const STYLE = `
:root{color-scheme:light dark;--page:#fff;--card:#f7f8fa;--ink:${INK};--muted:#5b6570;--line:#dfe3e8;--accent:${ACCENT};--soft:#e6eff8;--good:#217a4b;--warn:#a4561a;--warnbg:#fdf3e7}
@media (prefers-color-scheme:dark){:root{--page:#15181c;--card:#1d2127;--ink:#e4e7eb;--muted:#9aa4af;--line:#323840;--accent:#7db1e8;--soft:#1f2d3d;--good:#6cc494;--warn:#e5a465;--warnbg:#2d2418}
${repaint(INK, "#e4e7eb")}${repaint(MUTED, "#9aa4af")}${repaint(GRID, "#323840")}${repaint(ACCENT, "#6aa5e3")}${repaint(SOFT, "#39567a")}${repaint(WARM, "#e58a74")}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.6 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;-webkit-text-size-adjust:100%}
main{max-width:880px;margin:0 auto;padding:40px 20px 72px}
h1{font-size:2rem;line-height:1.2;margin:0 0 .4em;letter-spacing:-.01em;overflow-wrap:anywhere}
h2{font-size:1.35rem;margin:2.4em 0 .5em;padding-top:.9em;border-top:1px solid var(--line);letter-spacing:-.005em}
h3{font-size:1.02rem;margin:1.7em 0 .4em}
p{margin:.5em 0}
a{color:var(--accent)}
.goal{color:var(--muted);margin:0 0 1.2em;overflow-wrap:anywhere}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(128px,1fr));gap:10px;margin:1.4em 0}
.facts div{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:10px 14px}
.facts b{display:block;font-size:1.35rem;line-height:1.3;font-variant-numeric:tabular-nums}
.facts span{color:var(--muted);font-size:.84rem}
.summary{background:var(--soft);border-radius:12px;padding:16px 22px;margin:1.4em 0}
.summary h2{border:0;margin:0 0 .3em;padding:0;font-size:1.05rem}
.summary ul{margin:.2em 0;padding-left:1.15em}
.summary li{margin:.35em 0}
nav{font-size:.9rem;color:var(--muted);margin:1em 0}
nav a{margin-right:1.1em;text-decoration:none;white-space:nowrap}
.scroll{max-width:100%;overflow-x:auto;margin:1em 0;-webkit-overflow-scrolling:touch}
table{border-collapse:collapse;width:100%;font-size:.875rem;line-height:1.45}
th{text-align:left;font-weight:600;color:var(--muted);font-size:.8rem;border-bottom:1.5px solid var(--line);padding:6px 12px 6px 0;vertical-align:bottom}
td{border-bottom:1px solid var(--line);padding:7px 12px 7px 0;vertical-align:top;overflow-wrap:break-word}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td.name{font-weight:550;min-width:92px;max-width:240px;overflow-wrap:break-word}
td.wide{min-width:230px;overflow-wrap:anywhere;color:var(--muted)}
.kind{display:inline-block;font-size:.75rem;border:1px solid var(--line);border-radius:99px;padding:0 8px;color:var(--muted);white-space:nowrap}
.bar{display:inline-block;width:44px;height:6px;border-radius:3px;background:var(--line);margin-left:7px;vertical-align:middle;overflow:hidden}
.bar i{display:block;height:100%;background:var(--accent)}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,360px),1fr));gap:14px;margin:1em 0;align-items:start}
figure{margin:0;border:1px solid var(--line);border-radius:10px;padding:12px 12px 8px;min-width:0;break-inside:avoid}
figure h4{margin:0 0 .4em;font-size:.92rem;overflow-wrap:anywhere}
figure svg{width:100%;height:auto;display:block;margin:0 auto}
figcaption{color:var(--muted);font-size:.81rem;line-height:1.45;margin-top:.4em;overflow-wrap:anywhere}
ul.findings{padding-left:1.15em;margin:.4em 0}
ul.findings li{margin:.5em 0;overflow-wrap:anywhere}
.note{color:var(--muted);font-size:.88rem}
.verdict{border-left:4px solid var(--good);background:var(--card);padding:10px 16px;border-radius:0 10px 10px 0;margin:1em 0}
.verdict.no{border-color:var(--warn);background:var(--warnbg)}
.did{color:var(--good)}.kept{color:var(--muted)}
details{border:1px solid var(--line);border-radius:10px;margin:.6em 0;padding:0 14px}
summary{cursor:pointer;padding:9px 0;font-weight:550;font-size:.92rem}
pre{background:var(--card);border-radius:8px;padding:10px 12px;overflow-x:auto;font:12.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;white-space:pre-wrap;overflow-wrap:anywhere}
code{font:.88em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
footer{margin-top:3em;color:var(--muted);font-size:.84rem;border-top:1px solid var(--line);padding-top:1em}
@media (max-width:560px){main{padding:24px 16px 48px}h1{font-size:1.55rem}.summary{padding:12px 16px}.facts{grid-template-columns:repeat(2,1fr)}}
@media (max-width:560px){table.columns thead{display:none}table.columns tr{display:flex;flex-wrap:wrap;gap:2px 14px;align-items:baseline;border-bottom:1px solid var(--line);padding:9px 0}table.columns td{border:0;padding:0}table.columns td.name{flex:1 1 55%;max-width:none}table.columns td.wide{flex:1 0 100%}table.columns td[data-label]::before{content:attr(data-label) " ";color:var(--muted)}}
@media print{:root{color-scheme:light}main{max-width:none;padding:0}nav{display:none}h2,h3{break-after:avoid}tr{break-inside:avoid}.scroll{overflow:visible}details:not([open]){display:none}}
`;

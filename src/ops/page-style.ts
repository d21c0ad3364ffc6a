// The style sheet of the live page: dark and light, phone and desktop. Used by page.ts.

/** The style sheet. */
export const STYLE = `
:root{color-scheme:light dark;--bg:#f4f6f8;--card:#fff;--fg:#18222d;--dim:#566371;--line:#d8dee5;--good:#0a6b3d;--goodbg:#dff3e7;--warn:#875000;--warnbg:#fdf0d5;--bad:#b3211b;--badbg:#fde5e3;--accent:#1c5fb8;--area:#1c5fb826;--badarea:#b3211b26}
@media(prefers-color-scheme:dark){:root{--bg:#0f1419;--card:#171e25;--fg:#e6ebf0;--dim:#97a4b2;--line:#2a343f;--good:#58d08f;--goodbg:#12352a;--warn:#f2b459;--warnbg:#3a2c10;--bad:#ff8a80;--badbg:#451b1a;--accent:#74b0ff;--area:#74b0ff26;--badarea:#ff8a8026}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif;font-variant-numeric:tabular-nums}
main,header,footer{max-width:84rem;margin:0 auto;padding:0 1rem}
header{display:flex;flex-wrap:wrap;align-items:center;gap:.25rem 1rem;padding-top:1rem}
h1{font-size:1.25rem;margin:0}h2{font-size:1rem;margin:1.5rem 0 .5rem}h3{font-size:1rem;margin:0}
.facts{color:var(--dim);font-size:.875rem;margin:0}#sums{margin-top:.6rem}
header .end{margin-left:auto}
button,input,select{font:inherit;font-size:.875rem;min-height:28px;color:inherit;background:var(--card);border:1px solid var(--line);border-radius:6px;padding:.2rem .7rem;cursor:pointer}
button[aria-pressed=true]{border-color:var(--accent);color:var(--accent);font-weight:600}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
#overall{margin:.75rem 0;padding:.6rem .9rem;border-radius:8px;font-weight:600;background:var(--warnbg);color:var(--warn)}
#overall.good{background:var(--goodbg);color:var(--good)}#overall.bad{background:var(--badbg);color:var(--bad)}
#overall ul{margin:0;padding:0;list-style:none}#since{font-weight:400}
.unknown .pill{background:var(--line);color:var(--fg)}
.bar{display:flex;flex-wrap:wrap;align-items:baseline;gap:.25rem 1rem}.filter{font-size:.875rem;color:var(--dim)}.filter input{cursor:text;width:14rem;max-width:100%}.narrow{display:none}
.grid{display:grid;gap:.75rem;grid-template-columns:repeat(auto-fit,minmax(15rem,1fr))}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:.8rem .9rem;min-width:0}
.tile{padding-bottom:.5rem;margin:0}
.tile .name{color:var(--dim);font-size:.875rem}
.tile .value{font-size:1.6rem;font-weight:650;line-height:1.2}
.tile .read{color:var(--dim);font-size:.8rem;min-height:1.2rem}
.tile svg{display:block;width:100%;height:56px;overflow:visible;touch-action:pan-y}
.base{stroke:var(--line)}.curve{fill:none;stroke:var(--accent);stroke-width:1.5}.area{fill:var(--area)}.cursor{stroke:var(--dim);stroke-dasharray:2 2}
.curve,.base,.cursor{vector-effect:non-scaling-stroke}
.tile.red .curve{stroke:var(--bad)}.tile.red .area{fill:var(--badarea)}.tile.red.hot .value{color:var(--bad)}
.links{grid-template-columns:repeat(auto-fit,minmax(19rem,1fr))}
.link{border-left:4px solid var(--warn)}.link.up{border-left-color:var(--good)}.link.reconnecting{border-left-color:var(--bad)}
.top{display:flex;align-items:baseline;gap:.6rem;flex-wrap:wrap}
.pill{font-size:.8rem;font-weight:600;border-radius:99px;padding:0 .6rem;background:var(--warnbg);color:var(--warn)}
.up .pill{background:var(--goodbg);color:var(--good)}.reconnecting .pill{background:var(--badbg);color:var(--bad)}
.target{color:var(--dim);font-size:.875rem;overflow-wrap:anywhere}
.why{color:var(--bad);font-size:.875rem;margin:.25rem 0 0}.why:empty{display:none}.suspect .why,.connecting .why{color:var(--warn)}
.strip{display:flex;height:10px;margin:.6rem 0 .1rem;border-radius:4px;overflow:hidden;background:var(--line)}
.strip i{display:block;background:var(--warn)}.strip .up{background:var(--good)}.strip .reconnecting{background:var(--bad)}.strip .none{background:transparent}
.ends{display:flex;justify-content:space-between;color:var(--dim);font-size:.75rem}
dl{display:grid;grid-template-columns:1fr auto;gap:.1rem .75rem;margin:.5rem 0;font-size:.875rem}dt{color:var(--dim)}dd{margin:0;text-align:right}
details{font-size:.875rem}summary{cursor:pointer;color:var(--dim);min-height:28px;padding:.15rem 0}
.legend{margin-top:1.5rem}.legend dl{grid-template-columns:minmax(8rem,auto) 1fr;gap:.35rem 1.25rem}.legend dt{color:var(--fg);font-weight:600}.legend dd{text-align:left;color:var(--dim)}details ol{margin:.4rem 0 0;padding:0;list-style:none;max-height:14rem;overflow:auto}
.scroll{overflow:auto;padding:0}.tall{max-height:21rem}.tall thead{position:sticky;top:0;background:var(--card)}
table{border-collapse:collapse;width:100%;font-size:.875rem;white-space:nowrap}
th,td{padding:.3rem .55rem;text-align:right;border-top:1px solid var(--line)}thead th{border-top:0;color:var(--dim);font-weight:600;vertical-align:bottom}
th:first-child,td:first-child,.l{text-align:left}tbody th{font-weight:600}
td.path{max-width:22rem;overflow:hidden;text-overflow:ellipsis}td.what{min-width:14rem;max-width:26rem;white-space:normal}
code{display:inline-block;max-width:9rem;overflow:hidden;text-overflow:ellipsis;vertical-align:middle;font:.8125rem ui-monospace,monospace;margin-right:.5rem;user-select:all}.small{min-height:24px;padding:0 .5rem;flex:none}
thead button{border:0;background:none;padding:.1rem .2rem;margin:0 -.2rem;min-width:24px;color:inherit;font-weight:600}
[aria-sort] button::after{content:"";display:inline-block;width:.8em;text-align:right}[aria-sort=ascending] button::after{content:"↑"}[aria-sort=descending] button::after{content:"↓"}
.zero{color:var(--dim)}.badcell{color:var(--bad);font-weight:650}
.new{animation:flash 2s ease-out}@keyframes flash{from{background:var(--warnbg)}}
.empty{padding:.8rem .9rem;margin:0;color:var(--dim)}
footer{padding:1.5rem 1rem 2rem;color:var(--dim);font-size:.875rem;display:flex;gap:1rem;flex-wrap:wrap}footer a{color:var(--accent);display:inline-block;min-height:28px;min-width:28px}
.sr{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
/* A phone: no table has room for its columns, so each row is a card with the name of a column before each value. */
@media(max-width:40rem){.grid{grid-template-columns:minmax(0,1fr) minmax(0,1fr)}.tiles{grid-auto-rows:1fr}.links{grid-template-columns:minmax(0,1fr)}.tile .value{font-size:1.3rem}.tile svg{height:40px}header .end{margin-left:0}.narrow{display:block}
table,tbody,tr,td,tbody th{display:block;white-space:normal}table[hidden]{display:none}thead{display:none}tr{padding:.5rem .9rem;border-top:1px solid var(--line)}tr:first-child{border-top:0}
td,tbody th{border:0;padding:.1rem 0;text-align:right;overflow-wrap:anywhere}td{display:flex;justify-content:space-between;gap:1rem}td::before{content:attr(data-label);color:var(--dim);flex:none;text-align:left}tbody th{text-align:left}
td.path,td.what{max-width:none;min-width:0}.tall{max-height:30rem}.legend dl{grid-template-columns:minmax(0,1fr)}.legend dd{margin-bottom:.5rem}.filter,.filter input{width:100%}.filter input,.filter select{font-size:16px}#endings .zero{display:none}}
@media(prefers-reduced-motion:reduce){.new{animation:none;outline:1px solid var(--warn)}}
@media(forced-colors:active){.strip,.strip i,.pill{forced-color-adjust:none}}
`;

// The style sheet of the demo's page: dark and light, phone and desktop. Used by page.ts.

/** The style sheet. */
export const STYLE: string = `  :root {
    --ground: #f4f6f5; --card: #fff; --text: #1c2422; --muted: #586360; --line: #dbe1de;
    --good: #17774f; --wait: #96560a; --hurt: #ac3325; --bar: #dfe6e3; --screen: #17201d;
  }
  @media (prefers-color-scheme: dark) {
    :root {
      --ground: #101413; --card: #191f1d; --text: #e5ebe8; --muted: #9ba7a2; --line: #2b3431;
      --good: #55c793; --wait: #e7ad55; --hurt: #f2917f; --bar: #2a332f; --screen: #0c100f;
    }
  }
  * { box-sizing: border-box; }
  body { margin: 0; background: var(--ground); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
  .wrap { max-width: 1120px; margin: 0 auto; padding: 32px 24px; display: grid; gap: 20px; }
  h1 { margin: 0; font-size: 28px; line-height: 1.2; letter-spacing: -.02em; }
  h2 { margin: 0; font-size: 16px; }
  p { margin: 0; }
  .muted, small { color: var(--muted); font-size: 14px; }
  header { display: flex; justify-content: space-between; align-items: center; gap: 16px 40px; flex-wrap: wrap; }
  header p { max-width: 56ch; margin-top: 6px; color: var(--muted); }

  .map { display: flex; align-items: center; font-size: 14px; }
  .map span { border: 1px solid var(--line); border-radius: 8px; background: var(--card); padding: 3px 10px; white-space: nowrap; }
  .map > i { width: 24px; border-top: 1px solid var(--muted); }
  .map ul { list-style: none; margin: 0; padding: 0; display: grid; gap: 8px; }
  /* The fork: each row has half of a bracket in front of it. */
  .map li { display: flex; align-items: center; position: relative; padding-left: 20px; }
  .map li::before { content: ""; position: absolute; left: 0; width: 20px; top: 50%; height: calc(50% + 4px); border: solid var(--muted); border-width: 1px 0 0 1px; }
  .map li:last-child::before { top: auto; bottom: 50%; border-width: 0 0 1px 1px; }

  .map li.gone span { opacity: 1; color: var(--muted); border-style: dashed; background: none; text-decoration: line-through; }

  .cards { display: grid; gap: 16px; grid-template-columns: repeat(3, minmax(0, 1fr)); }
  .card { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 18px; display: flex; flex-direction: column; gap: 10px; }
  .card[data-state=lost] { border-color: var(--wait); }
  .card[data-state=lost] .big { color: var(--muted); }
  h2 small { font-weight: 400; margin-left: 4px; }
  .top { display: flex; justify-content: space-between; align-items: baseline; gap: 8px; }
  .show { flex: 1; min-height: 104px; display: flex; flex-direction: column; justify-content: center; gap: 8px; }
  .big { font-size: 40px; line-height: 1.1; font-weight: 600; letter-spacing: -.02em; font-variant-numeric: tabular-nums; }
  .row { display: flex; flex-direction: column; gap: 6px; }
  .num { font-variant-numeric: tabular-nums; }
  .state { font-size: 14px; font-weight: 600; color: var(--wait); white-space: nowrap; }
  .state::before { content: ""; display: inline-block; width: 8px; height: 8px; border-radius: 50%; background: currentColor; margin-right: 6px; vertical-align: 1px; }
  [data-state=live] .state { color: var(--good); }
  .foot { border-top: 1px solid var(--line); padding-top: 10px; display: flex; justify-content: space-between; flex-wrap: wrap; gap: 0 8px; font-size: 14px; }
  progress { appearance: none; width: 100%; height: 8px; border: 0; border-radius: 4px; overflow: hidden; background: var(--bar); }
  progress::-webkit-progress-bar { background: var(--bar); }
  progress::-webkit-progress-value { background: var(--good); }
  progress::-moz-progress-bar { background: var(--good); }
  .screen { background: var(--screen); color: #d5e2dc; border-radius: 8px; padding: 8px 12px; font: 14px/1.5 ui-monospace, monospace; }
  .screen div { display: flex; gap: 1ch; min-height: 21px; }
  .screen span { color: #7fae98; flex: none; }
  .screen output, #scroll { overflow: hidden; white-space: pre; text-overflow: ellipsis; }
  #scroll { display: block; color: #8a9a93; height: 3em; }
  .screen input { flex: 1; min-width: 0; padding: 0; border: 0; background: none; color: inherit; font: inherit; outline: 0; }
  .screen input::placeholder { color: #8a9a93; opacity: 1; }
  .screen:focus-within { box-shadow: 0 0 0 2px var(--card), 0 0 0 4px var(--good); }

  .break { background: var(--ground); display: grid; gap: 10px; }
  .buttons { display: grid; gap: 12px; grid-template-columns: repeat(4, minmax(0, 1fr)); }
  button { font: inherit; text-align: left; color: var(--text); background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 12px 16px; cursor: pointer; }
  button b { display: block; color: var(--hurt); font-weight: 600; }
  button:hover { border-color: var(--hurt); }
  button:active { transform: translateY(1px); }
  button:focus-visible { outline: 2px solid var(--good); outline-offset: 2px; }
  .log #log { margin: 8px 0 0; padding: 0; font-size: 15px; display: grid; gap: 4px; min-height: 130px; align-content: start; }
  .log #log p { display: flex; gap: 12px; }
  .log time { color: var(--muted); font-variant-numeric: tabular-nums; flex: none; }

  @media (max-width: 900px) {
    .wrap { padding: 20px 16px; gap: 14px; }
    h1 { font-size: 24px; }
    .wide { display: none; }
    .cards { grid-template-columns: minmax(0, 1fr); gap: 12px; }
    .card { padding: 12px 14px; gap: 6px; }
    .show { min-height: 0; gap: 6px; }
    .row { flex-flow: row wrap; justify-content: space-between; align-items: baseline; }
    .big { font-size: 30px; }
    .foot { padding-top: 8px; }
    /* Below 16px a phone zooms in on the input. */
    .screen { font-size: 16px; }
    .buttons { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 8px; }
    button { padding: 0 10px; min-height: 44px; text-align: center; }
    button b { font-size: 14px; }
    button small { display: none; }
  }
  /* On a tall phone the buttons stay in reach, so that one sees what they do. */
  @media (max-width: 900px) and (min-height: 640px) {
    .break { position: sticky; bottom: 0; margin: 0 -16px; padding: 10px 16px; border-top: 1px solid var(--line); order: 1; }
    .break h2, .log h2 { position: absolute; clip-path: inset(50%); }
    /* And so does what they did: the last lines of it. */
    .log { position: sticky; bottom: 0; z-index: 1; order: 2; margin: -14px -16px -20px; padding: 0 16px 10px; background: var(--ground); }
    .break { bottom: 80px; padding-bottom: 6px; }
    .log #log { min-height: 0; height: 70px; margin: 0; overflow-y: auto; font-size: 14px; }
  }
`;

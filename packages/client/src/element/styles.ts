/** As a style sheet object it also works where a Content-Security-Policy forbids inline styles. `light-dark()` follows the page's `color-scheme`. */
const CSS = `
:host {
  display: inline-block;
  position: relative;
  vertical-align: middle;
  --accent: var(--bell-accent, light-dark(#3d4fd6, #a9b4ff));
  --alert: var(--bell-badge, light-dark(#d0263c, #ff8f9b));
  --on-alert: var(--bell-badge-text, light-dark(#fff, #2a060b));
  --surface: var(--bell-background, light-dark(#fff, #1a1d24));
  --ink: var(--bell-text, light-dark(#1b1d26, #eceef4));
  --muted: var(--bell-muted, light-dark(#5b6070, #a3a9b9));
  --line: var(--bell-border, light-dark(#e4e6ec, #30343f));
  --hover: var(--bell-hover, light-dark(#f3f4f8, #242833));
  --unread: var(--bell-unread, light-dark(#f4f6ff, #20253a));
  --live: var(--bell-live, light-dark(#12884f, #5fd39a));
  --waiting: var(--bell-waiting, light-dark(#b26b00, #eeb856));
  --lost: var(--bell-lost, light-dark(#6b7080, #9096a6));
  --radius: var(--bell-radius, 14px);
  --size: var(--bell-size, 40px);
  --shadow: var(--bell-shadow, 0 2px 6px rgb(16 20 40 / .08), 0 16px 44px rgb(16 20 40 / .18));
  inline-size: var(--size);
  block-size: var(--size);
}
:host([hidden]), [hidden] { display: none !important; }
*, ::after { box-sizing: border-box; }
button, .open { font: inherit; color: inherit; background: none; border: 0; padding: 0; margin: 0; cursor: pointer; text-align: start; text-decoration: none; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
svg { display: block; inline-size: 1.25rem; block-size: 1.25rem; fill: none; stroke: currentColor; stroke-width: 1.7; stroke-linecap: round; stroke-linejoin: round; }
h2, p, ul { margin: 0; padding: 0; }
.spoken { position: absolute; inline-size: 1px; block-size: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }

.bell { position: relative; display: grid; place-items: center; inline-size: 100%; block-size: 100%; border-radius: 50%; }
.bell > svg { inline-size: 60%; block-size: 60%; }
.bell:hover, .bell[aria-expanded=true] { background: rgb(from currentColor r g b / .09); }
.badge { position: absolute; inset-block-start: 0; inset-inline-start: 50%; min-inline-size: 18px; padding-inline: 5px; border-radius: 9px; background: var(--alert); color: var(--on-alert); font: 700 11px/18px var(--bell-font, system-ui, sans-serif); text-align: center; font-variant-numeric: tabular-nums; forced-color-adjust: none; }
.badge.seen { background: var(--muted); color: var(--surface); }
.dot { display: inline-block; flex: none; inline-size: 8px; block-size: 8px; border-radius: 50%; background: var(--waiting); forced-color-adjust: none; }
.dot[data-status=live] { background: var(--live); }
.dot[data-status=offline], .dot[data-status=signed_out], .dot[data-status=refused] { background: none; box-shadow: inset 0 0 0 2px var(--lost); }
.bell .dot { position: absolute; inset-block-end: 14%; inset-inline-end: 14%; }

.panel, .toast { color: var(--ink); background: var(--surface); border: 1px solid var(--line); border-radius: var(--radius); box-shadow: var(--shadow); font: 400 14px/1.45 var(--bell-font, system-ui, sans-serif); text-align: start; letter-spacing: normal; }
.panel { position: fixed; inset: auto; z-index: 2147483647; margin: 0; padding: 0; display: flex; flex-direction: column; overflow: hidden; inline-size: min(var(--bell-width, 400px), 100vw - 16px); block-size: auto; max-block-size: min(var(--bell-height, 560px), var(--room, 80vh)); outline: 0; }
header { display: flex; align-items: center; gap: 4px; padding: 12px 10px 10px 16px; border-block-end: 1px solid var(--line); }
.names { flex: 1; min-inline-size: 0; }
h2 { font-size: 16px; font-weight: 650; line-height: 1.3; }
.status { display: flex; align-items: center; gap: 6px; color: var(--muted); font-size: 12px; }
.scroll { overflow-y: auto; overscroll-behavior: contain; min-block-size: 0; }
.icon { display: grid; place-items: center; inline-size: 32px; block-size: 32px; border-radius: 8px; color: var(--muted); flex: none; }
.icon:hover, .text:hover { background: var(--hover); color: var(--ink); }
.icon.on { color: var(--accent); }
.text { padding: 6px 10px; border-radius: 8px; color: var(--accent); font-weight: 550; font-size: 13px; }
.text[aria-disabled=true] { color: var(--muted); opacity: .6; cursor: default; background: none; }
.more { display: block; inline-size: calc(100% - 16px); margin: 8px; padding: 8px; text-align: center; }
.message { padding: 48px 24px 52px; text-align: center; font-weight: 550; }
.message .text { margin-block-start: 12px; border: 1px solid var(--line); }
.not-saved { padding: 8px 16px; color: var(--alert); border-block-end: 1px solid var(--line); font-size: 13px; }

.list { list-style: none; }
li + li { border-block-start: 1px solid var(--line); }
.item { position: relative; padding: 12px 16px 8px 28px; overflow-wrap: anywhere; }
.item.unread { background: var(--unread); }
.item.unread::after { content: ""; position: absolute; inset-block-start: 18px; inset-inline-start: 12px; inline-size: 8px; block-size: 8px; border-radius: 50%; background: var(--accent); pointer-events: none; forced-color-adjust: none; }
.open { display: block; inline-size: 100%; }
.open::after { content: ""; position: absolute; inset: 0; }
.open:focus-visible { outline: 0; }
.open:focus-visible::after { outline: 2px solid var(--accent); outline-offset: -3px; border-radius: 6px; }
.item:has(.open:hover) { background: var(--hover); }
.title, .body { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; overflow: hidden; unicode-bidi: isolate; white-space: pre-line; }
.title { font-weight: 500; }
.unread .title, .toast .title { font-weight: 650; }
.body { -webkit-line-clamp: 3; color: var(--muted); margin-block-start: 2px; }
.meta { display: flex; align-items: center; gap: 4px; min-block-size: 28px; margin-block-start: 2px; color: var(--muted); font-size: 12px; }
.actions { position: relative; z-index: 1; display: flex; margin-inline: auto -8px; }
.actions .icon { block-size: 28px; }
.actions svg { inline-size: 17px; block-size: 17px; }
@media (hover: hover) {
  .actions { opacity: 0; }
  .item:hover .actions, .item:focus-within .actions, .actions:has(.on) { opacity: 1; }
}

.toasts { position: fixed; inset: auto; inset-block-end: 16px; inset-inline-end: 16px; z-index: 2147483647; margin: 0; padding: 0; border: 0; background: none; overflow: visible; display: flex; flex-direction: column; gap: 10px; inline-size: min(var(--bell-toast-width, 340px), 100vw - 32px); block-size: auto; pointer-events: none; }
:host([toasts^=top]) .toasts { inset-block: 16px auto; }
:host([toasts$=start]) .toasts { inset-inline: 16px auto; }
.toast { pointer-events: auto; padding: 12px 44px 12px 16px; overflow: hidden; }
.toast .icon { position: absolute; inset-block-start: 6px; inset-inline-end: 6px; }

@media (max-width: 480px) {
  .panel { left: 0 !important; inline-size: 100%; max-block-size: var(--room, 80vh); border-inline: 0; border-radius: var(--radius); }
  .actions .icon { inline-size: 40px; block-size: 36px; }
  .toasts { inset-inline: 12px !important; inline-size: auto; }
}
@media (prefers-reduced-motion: no-preference) {
  .bell, .icon, .text, .item, .actions { transition: background-color .12s, color .12s, opacity .12s; }
  .panel, .toast { animation: come .16s ease-out; }
  @keyframes come { from { opacity: 0; transform: translateY(6px); } }
}
`;

let made: CSSStyleSheet | undefined;

/** One for all bells of the page. */
export function sheet(): CSSStyleSheet {
  if (!made) {
    made = new CSSStyleSheet();
    made.replaceSync(CSS);
  }
  return made;
}

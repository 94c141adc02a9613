/** As a style sheet object it also works where a Content-Security-Policy forbids inline styles. `light-dark()` follows the page's `color-scheme`. */
const CSS = `
:host {
  display: inline-block;
  vertical-align: middle;
  width: var(--bell-size, 40px);
  height: var(--bell-size, 40px);
  --accent: var(--bell-accent, light-dark(#3d4fd6, #a9b4ff));
  --alert: var(--bell-alert, light-dark(#d0263c, #ff8f9b));
  --surface: var(--bell-background, light-dark(#fff, #1a1d24));
  --ink: var(--bell-text, light-dark(#1b1d26, #eceef4));
  --muted: var(--bell-muted, light-dark(#5b6070, #a3a9b9));
  --line: var(--bell-border, light-dark(#e4e6ec, #30343f));
  --hover: var(--bell-hover, light-dark(#f3f4f8, #242833));
  font: 14px/1.45 var(--bell-font, system-ui, sans-serif);
}
:host([hidden]), [hidden] { display: none !important; }
*, ::after { box-sizing: border-box; margin: 0; }
button, .open { padding: 0; border: 0; background: none; color: inherit; font: inherit; text-align: start; text-decoration: none; cursor: pointer; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
svg { display: block; width: 20px; fill: none; stroke: currentColor; stroke-width: 1.7; stroke-linecap: round; stroke-linejoin: round; }
.spoken { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }

.bell, .icon { display: grid; place-items: center; flex: none; border-radius: 8px; }
.bell { position: relative; width: 100%; height: 100%; border-radius: 50%; }
.bell svg { width: 60%; }
.bell:hover { background: #8883; }
.badge { position: absolute; top: 0; inset-inline-start: 50%; min-width: 18px; padding: 0 5px; border-radius: 9px; background: var(--alert); color: var(--surface); font-size: 11px; line-height: 18px; font-weight: 700; text-align: center; }
.seen { background: var(--muted); }
.dot { flex: none; width: 8px; height: 8px; border-radius: 50%; background: var(--bell-waiting, light-dark(#b26b00, #eeb856)); }
.dot[data-status=live] { background: var(--bell-live, light-dark(#12884f, #5fd39a)); }
.dot[data-status=offline], .dot[data-status=signed_out], .dot[data-status=refused] { background: none; border: 2px solid var(--muted); }
.bell .dot { position: absolute; bottom: 14%; inset-inline-end: 14%; }
.badge, .dot, .unread::after { forced-color-adjust: none; }

.panel, .toast { padding: 0; border: 1px solid var(--line); border-radius: var(--bell-radius, 14px); background: var(--surface); color: var(--ink); text-align: start; box-shadow: 0 2px 6px #1014280f, 0 16px 44px #1014282e; }
.panel { inset: auto; display: flex; flex-direction: column; overflow: hidden; width: min(var(--bell-width, 400px), 100vw - 16px); max-height: min(var(--bell-height, 560px), var(--room)); outline: 0; }
.head { display: flex; align-items: center; gap: 4px; padding: 12px 10px 10px 16px; border-bottom: 1px solid var(--line); }
.head div { flex: 1; }
h2 { font-size: 16px; font-weight: 650; line-height: 1.3; }
.status { display: flex; align-items: center; gap: 6px; color: var(--muted); font-size: 12px; }
.scroll { overflow-y: auto; overscroll-behavior: contain; }
.icon { width: 32px; height: 32px; color: var(--muted); }
.icon:hover, .text:hover { background: var(--hover); color: var(--ink); }
.text { padding: 6px 10px; border-radius: 8px; color: var(--accent); font-size: 13px; font-weight: 550; }
.text[aria-disabled=true] { opacity: .5; cursor: default; }
.wide { display: block; width: calc(100% - 16px); margin: 8px; text-align: center; }
.message { padding: 48px 24px 40px; text-align: center; font-weight: 550; }
.not-saved { padding: 8px 16px; color: var(--alert); }
.not-saved:empty { display: none; }

ul { padding: 0; list-style: none; }
li + li { border-top: 1px solid var(--line); }
.item { position: relative; padding: 12px 16px 6px 28px; overflow-wrap: anywhere; }
.unread { background: var(--bell-unread, light-dark(#f4f6ff, #20253a)); }
.unread::after { content: ""; position: absolute; top: 18px; inset-inline-start: 12px; width: 8px; height: 8px; border-radius: 50%; background: var(--accent); }
.item:hover { background: var(--hover); }
.open { display: block; width: 100%; }
.open::after { content: ""; position: absolute; inset: 0; }
.open:focus-visible { outline: 0; }
.open:focus-visible::after { outline: 2px solid var(--accent); outline-offset: -3px; border-radius: 6px; }
.title, .body { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; overflow: hidden; unicode-bidi: isolate; white-space: pre-line; }
.unread .title, .toast .title { font-weight: 650; }
.body { -webkit-line-clamp: 3; margin-top: 2px; color: var(--muted); }
.meta { display: flex; margin-inline-end: -8px; align-items: center; gap: 8px; min-height: 30px; color: var(--muted); font-size: 12px; }
.actions { position: relative; display: flex; margin-inline-start: auto; }
.actions .icon { height: 28px; }
.icon[aria-pressed=true] { color: var(--accent); }
@media (hover: hover) {
  .item:not(:hover, :focus-within) .actions { opacity: 0; }
}

.toasts { inset: auto 16px 16px auto; display: grid; gap: 10px; width: min(340px, 100vw - 32px); padding: 0; border: 0; background: none; overflow: visible; pointer-events: none; }
.toasts:dir(rtl) { left: 16px; right: auto; }
.toast { padding: 12px 44px 12px 16px; overflow: hidden; pointer-events: auto; }
.toast .icon { position: absolute; top: 6px; inset-inline-end: 6px; }

@media (max-width: 480px) {
  .panel { width: 100%; max-height: var(--room); border-inline: 0; }
  .actions .icon { width: 40px; height: 36px; }
}
@media not (prefers-reduced-motion) {
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

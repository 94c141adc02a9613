/** Between the bell and the panel, and between the panel and the edges of the window. */
const GAP = 8;

/** Puts the panel beside the button, as `placement` says (`bottom-end`, `bottom-start`, `top-end`, `top-start`), and within the window. */
export function place(panel: HTMLElement, button: HTMLElement, placement: string): void {
  const { left, right, top, bottom } = button.getBoundingClientRect();
  const { clientWidth, clientHeight } = document.documentElement;
  const isAbove = placement.startsWith("top");
  const isRightToLeft = getComputedStyle(button).direction === "rtl";
  const isRightAligned = placement.endsWith("start") === isRightToLeft;
  const width = panel.offsetWidth;
  const wanted = isRightAligned ? right - width : left;
  const distance = Math.max(GAP, GAP + (isAbove ? clientHeight - top : bottom));
  const { style } = panel;
  style.left = `${Math.max(0, Math.min(Math.max(GAP, wanted), clientWidth - width - GAP))}px`;
  style[isAbove ? "bottom" : "top"] = `${distance}px`;
  style[isAbove ? "top" : "bottom"] = "auto";
  style.setProperty("--room", `${clientHeight - distance - GAP}px`);
}

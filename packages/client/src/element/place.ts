/** Between the bell and the panel, and between the panel and the edges of the window. */
const GAP = 8;
/** A panel with less room opens to the other side, if there is more. */
const ROOM = 320;

/** Puts the panel beside the button, as `placement` says (`bottom-end`, `bottom-start`, `top-end`, `top-start`), and within the window. */
export function place(panel: HTMLElement, button: HTMLElement, placement: string): void {
  const { left, right, top, bottom } = button.getBoundingClientRect();
  const { clientWidth, clientHeight } = document.documentElement;
  const [above, below] = [top, clientHeight - bottom];
  const isAbove = placement.startsWith("top")
    ? above >= ROOM || above > below
    : below < ROOM && above > below;
  const isRightToLeft = getComputedStyle(button).direction === "rtl";
  const isRightAligned = placement.endsWith("start") === isRightToLeft;
  const width = panel.offsetWidth;
  const wanted = isRightAligned ? right - width : left;
  const { style } = panel;
  style.left = `${Math.max(0, Math.min(Math.max(GAP, wanted), clientWidth - width - GAP))}px`;
  style.top = isAbove ? "auto" : `${Math.max(GAP, bottom + GAP)}px`;
  style.bottom = isAbove ? `${Math.max(GAP, below + bottom - top + GAP)}px` : "auto";
  style.setProperty("--room", `${Math.max(ROOM / 2, (isAbove ? above : below) - 2 * GAP)}px`);
}

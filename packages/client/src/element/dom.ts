type Attributes = Record<string, string | undefined>;

/** An element with these attributes. Children that are strings become text: nothing in the bell is ever parsed as HTML. */
export function make<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes))
    if (value !== undefined) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** A picture of 24 × 24 in lines, for a button whose name says the same. */
export function icon(path: string): SVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

/** Sets the text only if it is another one, so that a screen reader is not told the same again. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** The name of a button that has only an icon. */
export function setName(button: Element, name: string): void {
  if (button.getAttribute("aria-label") === name) return;
  button.setAttribute("aria-label", name);
  button.setAttribute("title", name);
}

/**
 * Shows it in the top layer, where the browser has one: a header that hides what overflows, or that has a filter or a transform, would cut it off or move it.
 */
export function show(element: HTMLElement): void {
  if (!element.hidden) return;
  element.hidden = false;
  element.showPopover?.();
}

export function hide(element: HTMLElement): void {
  if (element.hidden) return;
  // A popover that was removed from the page is hidden already.
  if (element.isConnected && element.matches(":popover-open")) element.hidePopover();
  element.hidden = true;
}

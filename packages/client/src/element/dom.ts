/** An element with these attributes. Children that are strings become text: nothing in the bell is ever parsed as HTML. */
export function make<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Record<string, string> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  for (const name in attributes) element.setAttribute(name, attributes[name] as string);
  element.append(...children);
  return element;
}

export function makeButton(
  className: string,
  onClick: () => void,
  ...children: Node[]
): HTMLButtonElement {
  const button = make("button", { class: className, type: "button" }, ...children);
  // A disabled button would lose the focus. This one stays where it is, and does nothing.
  button.onclick = () => {
    if (button.ariaDisabled !== "true") onClick();
  };
  return button;
}

/** A picture of 24 × 24 in lines, for a button whose name says the same. */
export function icon(path: string): SVGElement {
  const [svg, line] = ["svg", "path"].map((tag) =>
    document.createElementNS("http://www.w3.org/2000/svg", tag),
  ) as [SVGElement, SVGElement];
  svg.setAttribute("viewBox", "0 0 24 24");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

/** Sets the text only if it is another one, so that a screen reader is not told the same again. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** The name of a button that has only an icon. */
export function setName(button: HTMLElement, name: string): void {
  button.ariaLabel = button.title = name;
}

/** In the top layer, because a header that hides what overflows, or that has a filter or a transform, would cut it off or move it. */
export function show(element: HTMLElement): void {
  if (!element.hidden) return;
  element.hidden = false;
  element.showPopover();
}

export function hide(element: HTMLElement): void {
  element.hidden = true;
  element.hidePopover();
}

/**
 * Creates an element. Strings among the children become text nodes, never markup, so a notification may contain any text.
 * `onclick` and the like are listeners.
 */
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== undefined && child !== null));
  return node;
}

/** A user's initial on the user's own colour. Without a user it is the bell. */
export function fillAvatar(node, user) {
  node.textContent = user ? [...user.name][0] : "";
  node.dataset.hue = user ? String(Number(user.id) % 6) : "none";
  return node;
}

/**
 * One element. Strings among the children become text nodes, never markup, so a notification can say
 * anything; `onclick` and the like are listeners.
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

/** A user's initial on a colour of their own; without one the bell, for what nobody in particular did. */
export function fillAvatar(node, user) {
  node.textContent = user ? [...user.name][0] : "";
  node.dataset.hue = user ? String(Number(user.id) % 6) : "none";
  return node;
}

import type { BellSnapshot } from "../bell.ts";
import { contentOf, type Templates } from "./content.ts";
import { make } from "./dom.ts";
import { type Actions, createRow, type Row } from "./row.ts";
import type { Wording } from "./texts.ts";

/**
 * The list of articles. It changes only what is another one, so that focus, scroll position and pointer stay where they are. `onFocusLost` is called when
 * the last one goes that had the keyboard.
 */
export function createList(actions: Actions, onFocusLost: () => void) {
  const node = make("ul", { role: "list" });
  let rows = new Map<string, Row>();
  let wording: Wording | undefined;

  const focusedRow = () => [...node.children].findIndex((row) => row.matches(":focus-within"));
  function focus(index: number): void {
    const row = node.children[Math.min(index, node.children.length - 1)];
    row?.querySelector<HTMLElement>(".open")?.focus();
  }

  /** The arrow keys go from one notification to the next. */
  node.onkeydown = (event) => {
    const at = focusedRow();
    const targets = { ArrowDown: at + 1, ArrowUp: Math.max(0, at - 1), Home: 0, End: Infinity };
    const to = targets[event.key as keyof typeof targets];
    if (to === undefined) return;
    event.preventDefault();
    focus(to);
  };

  return {
    node,
    render(
      notifications: BellSnapshot["notifications"],
      mutedTypes: readonly string[],
      next: Wording,
      templates: Templates,
    ): void {
      const held = wording === next ? rows : new Map<string, Row>();
      wording = next;
      rows = new Map();
      for (const notification of notifications) {
        const content = contentOf(notification, templates, next);
        let row = held.get(notification.id);
        if (!row || JSON.stringify(row.content) !== JSON.stringify(content))
          row = createRow(notification, content, next, actions);
        row.update(notification, mutedTypes);
        rows.set(notification.id, row);
      }
      const focused = focusedRow();
      const nodes = [...rows.values()].map((row) => row.node);
      const wanted = new Set<Element>(nodes);
      for (const row of [...node.children]) if (!wanted.has(row)) row.remove();
      nodes.forEach((row, index) => {
        const there = node.children[index];
        if (there !== row) node.insertBefore(row, there ?? null);
      });
      // The one that had the focus was archived, or is another one now.
      if (focused < 0 || focusedRow() >= 0) return;
      if (nodes.length > 0) focus(focused);
      else onFocusLost();
    },
  };
}

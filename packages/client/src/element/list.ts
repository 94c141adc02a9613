import type { BellSnapshot } from "../bell.ts";
import type { Content, Templates } from "./content.ts";
import { contentOf } from "./content.ts";
import { make } from "./dom.ts";
import { createRow, type Row, type RowActions } from "./row.ts";
import type { Wording } from "./texts.ts";
import { type Clock, createClock } from "./time.ts";

/** The list of articles. It changes only what is another one, so that focus, scroll position and pointer stay where they are. */
export function createList(actions: RowActions, onFocusLost: () => void) {
  const node = make("ul", { class: "list", role: "list" });
  let rows = new Map<string, Row>();
  let wording: Wording | undefined;
  let clock: Clock | undefined;

  /** The arrow keys go from one notification to the next. */
  function onKey(event: KeyboardEvent): void {
    const opens = [...rows.values()].map(({ open }) => open);
    const at = opens.findIndex((open) => open.closest("li")?.contains(event.target as Node));
    const to = {
      ArrowDown: at + 1,
      ArrowUp: Math.max(0, at - 1),
      Home: 0,
      End: opens.length - 1,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    opens[to]?.focus();
  }
  node.addEventListener("keydown", onKey);

  return {
    node,
    render(
      { notifications, preferences }: Pick<BellSnapshot, "notifications" | "preferences">,
      nextWording: Wording,
      templates: Templates,
    ): void {
      if (wording !== nextWording) {
        rows.clear();
        wording = nextWording;
        clock = createClock(wording.language);
      }
      const focusedAt = [...node.children].findIndex((child) => child.matches(":focus-within"));
      const next = new Map<string, Row>();
      for (const notification of notifications) {
        const { id } = notification;
        const content = contentOf(
          notification,
          templates,
          wording.language,
          wording.texts.untitled,
        );
        const held = rows.get(id);
        const row =
          held && isSame(held.content, content)
            ? held
            : createRow(notification, content, wording, clock as Clock, actions);
        row.update(notification, preferences?.mutedTypes ?? []);
        next.set(id, row);
      }
      rows = next;
      const nodes = [...rows.values()].map((row) => row.node);
      const wanted = new Set<Element>(nodes);
      for (const child of [...node.children]) if (!wanted.has(child)) child.remove();
      nodes.forEach((each, index) => {
        if (node.children[index] !== each) node.insertBefore(each, node.children[index] ?? null);
      });
      node.hidden = nodes.length === 0;
      if (focusedAt < 0 || node.matches(":focus-within")) return;
      // The one that had the focus was archived, or is another one now.
      const neighbour = [...rows.values()][Math.min(focusedAt, rows.size - 1)];
      if (neighbour) neighbour.open.focus();
      else onFocusLost();
    },
  };
}

const isSame = (a: Content, b: Content) =>
  a.title === b.title && a.body === b.body && a.href === b.href;

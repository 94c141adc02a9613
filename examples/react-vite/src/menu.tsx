import type { ReactNode } from "react";

type Props = { label: string; items: ReactNode[]; onOpen: () => void };

/** Stands for the menu of your design system. It knows nothing of notifications. */
export function Menu({ label, items, onOpen }: Props) {
  return (
    <details onToggle={({ currentTarget }) => currentTarget.open && onOpen()}>
      <summary>{label}</summary>
      <ul>{items.length > 0 ? items : <li>Nothing yet</li>}</ul>
    </details>
  );
}

import { useBell, useNotifications } from "@bellwire/react";
import { Menu } from "./menu.tsx";

export function Bell() {
  const bell = useBell();
  const { notifications, unread } = useNotifications();
  const items = notifications.map(({ id, title }) => <li key={id}>{title}</li>);
  return <Menu label={`🔔 ${unread}`} items={items} onOpen={() => bell?.markAllAsRead()} />;
}

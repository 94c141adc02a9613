/** The titles of notifications in Russian. The database has them in English. */
const RUSSIAN = {
  "hire.accepted": "{actorName}: предложение принято",
  "hire.rejected": "{actorName}: предложение отклонено",
  "hire.requested": "{actorName} предлагает вам задание",
  "message.received": "{actorName}: новое сообщение",
  "response.accepted": "{actorName}: ваш отклик на «{taskTitle}» принят",
  "response.received": "{actorName}: отклик на «{taskTitle}»",
  "response.rejected": "{actorName}: ваш отклик на «{taskTitle}» отклонён",
  "review.received": "{actorName}: отзыв о вас, {rating} из 5",
  "task.assigned": "{actorName} поручает вам «{taskTitle}»",
  "task.cancelled": "Задание «{taskTitle}» отменено",
  "task.completed": "Задание «{taskTitle}» завершено",
  "task.message": "{actorName}: сообщение в «{taskTitle}»",
};

/** For `<notification-bell>`: titles made in the page, from a notification's type and data. */
export const templates = Object.fromEntries(
  Object.entries(RUSSIAN).map(([type, text]) => [
    type,
    ({ data }, language) => (language === "ru" ? { title: fill(text, data ?? {}) } : {}),
  ]),
);

/** Undefined if a value is missing, as in notifications of an older version: then the notification's own title is shown. */
function fill(text, values) {
  const names = [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
  if (names.some((name) => values[name] === undefined)) return undefined;
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

const TEXTS = {
  en: {
    actAsSomebody: "Act as somebody else",
    actor: "Who acts",
    arrivals: "New notifications",
    attachFile: "Only a file",
    bell: {
      one: "The bell: {count} unread notification",
      other: "The bell: {count} unread notifications",
    },
    cancel: "Cancel task",
    comment: "Comment",
    commentSample: "Quick, careful and friendly. Gladly again.",
    complete: "Complete",
    connecting: "Connecting",
    copied: "Copied",
    copy: "Copy",
    dismiss: "Dismiss",
    does: "Does what",
    emptyHint: "Act as somebody else, and it will.",
    emptyTitle: "The bell has not rung yet",
    executor: "Executor",
    footer: "Demo of Bellwire, on its own PostgreSQL.",
    fromCustomer: "{name} asks you: “{message}”",
    headline: "A row is written. The bell rings.",
    hire: "Ask to take the task",
    hireSample: "Would you take this one? You did so well last time.",
    intro:
      "Every button of “Act as somebody else” is a plain SQL write. Triggers in the same transaction turn it into notifications, and they are on this page within a blink.",
    justNow: "just now",
    kind: {
      answerHires: "Answer hire requests",
      answerResponses: "Answer responses",
      hire: "Hire",
      message: "Message",
      respond: "Respond to a task",
      review: "Review",
      tasks: "Own tasks",
    },
    language: "Language",
    live: "Live",
    markAllRead: "Mark all read",
    message: "Message",
    messageSample: "Hi! When could you start?",
    more: { one: "and {count} more", other: "and {count} more" },
    newTask: "New task",
    nobody: "nobody yet",
    noLongerPossible: "Somebody was quicker: that is no longer possible.",
    none: {
      answerHires: "Nobody is asking {name} to take a task. Have a customer hire {name} first.",
      answerResponses:
        "No responses wait for {name}. Have somebody respond to a task of theirs first.",
      hire: "{name} has no open task to hire for. Post one under “Own tasks”.",
      respond: "There is no open task that {name} has not responded to. Have somebody post one.",
      review: "{name} has nothing to review. Complete a task first.",
      tasks: "{name} has no open tasks.",
    },
    noTask: "nothing in particular",
    notPossible: "That did not work. Is the service running?",
    offer: "{name} offers to do it for {price}",
    offline: "Offline",
    openAs: "Open {name}’s bell in a new tab",
    postTask: "Post task",
    price: "Price",
    rating: "Rating",
    readIt: "Mark as read",
    reject: "Reject",
    accept: "Accept",
    respond: "Respond",
    respondSample: "I can do it this week.",
    review: "Leave review",
    send: "Send message",
    showOlder: "Show older",
    sqlLatency: "Your bell rang {ms} ms after the click. No application code emitted anything.",
    sqlNote: "Triggers in the same transaction did the rest. No application code emits anything.",
    sqlStart: "Press a button above, and the SQL behind it shows up here.",
    sqlTry: "Or from any other program, psql for one",
    sqlTitle: "What the application wrote: nothing but this",
    stars: { one: "{count} star", other: "{count} stars" },
    status: { in_progress: "in progress, {name}", open: "open" },
    task: "Task",
    taskSample: "Paint the garden fence",
    theBell: "The bell",
    title: "Title",
    to: "To",
    topic: "About",
    unread: "unread",
    you: "{name} (you)",
    youAre: "You are:",
  },
  ru: {
    actAsSomebody: "Действуйте за другого",
    actor: "Кто действует",
    arrivals: "Новые уведомления",
    attachFile: "Только файл",
    bell: {
      one: "Колокольчик: {count} непрочитанное уведомление",
      few: "Колокольчик: {count} непрочитанных уведомления",
      many: "Колокольчик: {count} непрочитанных уведомлений",
      other: "Колокольчик: {count} непрочитанных уведомлений",
    },
    cancel: "Отменить",
    comment: "Отзыв",
    commentSample: "Быстро, аккуратно и вежливо. С радостью обращусь снова.",
    complete: "Завершить",
    connecting: "Подключение",
    copied: "Скопировано",
    copy: "Копировать",
    dismiss: "Закрыть",
    does: "Что делает",
    emptyHint: "Сделайте что-нибудь за другого, и он зазвонит.",
    emptyTitle: "Колокольчик ещё не звонил",
    executor: "Исполнитель",
    footer: "Демонстрация Bellwire на собственном PostgreSQL.",
    fromCustomer: "{name} спрашивает: «{message}»",
    headline: "Строка записана. Колокольчик звонит.",
    hire: "Предложить задание",
    hireSample: "Возьмётесь? В прошлый раз вышло отлично.",
    intro:
      "Каждая кнопка в «Действуйте за другого» — обычная запись в SQL. Триггеры в той же транзакции превращают её в уведомления, и через мгновение они на этой странице.",
    justNow: "только что",
    kind: {
      answerHires: "Ответить на предложения",
      answerResponses: "Ответить на отклики",
      hire: "Нанять",
      message: "Сообщение",
      respond: "Откликнуться",
      review: "Отзыв",
      tasks: "Свои задания",
    },
    language: "Язык",
    live: "На связи",
    markAllRead: "Прочитать все",
    message: "Сообщение",
    messageSample: "Здравствуйте! Когда сможете начать?",
    more: {
      one: "и ещё {count}",
      few: "и ещё {count}",
      many: "и ещё {count}",
      other: "и ещё {count}",
    },
    newTask: "Новое задание",
    nobody: "пока никто",
    noLongerPossible: "Кто-то успел раньше: это уже невозможно.",
    none: {
      answerHires:
        "Заданий никто не предлагает ({name}). Пусть сначала заказчик предложит задание.",
      answerResponses:
        "Откликов пока нет ({name}). Пусть сначала кто-нибудь откликнется на задание.",
      hire: "Нет открытого задания ({name}). Его можно создать в разделе «Свои задания».",
      respond: "Нет открытых заданий без отклика ({name}). Пусть кто-нибудь создаст новое.",
      review: "Оценивать пока нечего ({name}). Сначала завершите задание.",
      tasks: "Открытых заданий нет ({name}).",
    },
    noTask: "без задания",
    notPossible: "Не получилось. Сервис запущен?",
    offer: "{name} предлагает сделать за {price}",
    offline: "Нет связи",
    openAs: "Колокольчик в новой вкладке: {name}",
    postTask: "Создать задание",
    price: "Цена",
    rating: "Оценка",
    readIt: "Отметить прочитанным",
    reject: "Отклонить",
    accept: "Принять",
    respond: "Откликнуться",
    respondSample: "Могу сделать на этой неделе.",
    review: "Оставить отзыв",
    send: "Отправить",
    showOlder: "Показать ещё",
    sqlLatency:
      "Колокольчик зазвонил через {ms} мс после нажатия. Код приложения ничего не рассылал.",
    sqlNote: "Остальное сделали триггеры в той же транзакции. Код приложения ничего не рассылает.",
    sqlStart: "Нажмите кнопку выше, и здесь появится её SQL.",
    sqlTry: "Или из любой другой программы, например psql",
    sqlTitle: "Что записало приложение: только это",
    stars: {
      one: "{count} звезда",
      few: "{count} звезды",
      many: "{count} звёзд",
      other: "{count} звезды",
    },
    status: { in_progress: "в работе, {name}", open: "открыто" },
    task: "Задание",
    taskSample: "Покрасить забор в саду",
    theBell: "Колокольчик",
    title: "Название",
    to: "Кому",
    topic: "О чём",
    unread: "не прочитано",
    you: "{name} (вы)",
    youAre: "Вы:",
  },
};

const STORED = "bellwire.language";

/** Every text of the page, in the language remembered or else the browser's. */
export function createTexts() {
  let language = readStored() ?? (/^(ru|be|kk)\b/i.test(navigator.language) ? "ru" : "en");
  let plurals = new Intl.PluralRules(language);

  /** `key` may be a path, "kind.message". A text with plural forms takes `values.count`. */
  function text(key, values = {}) {
    let found = TEXTS[language];
    for (const part of key.split(".")) found = found?.[part];
    if (found && typeof found === "object") found = found[plurals.select(values.count)];
    return (found ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
  }

  return {
    text,
    language: () => language,
    use(next) {
      language = next;
      plurals = new Intl.PluralRules(language);
      try {
        localStorage.setItem(STORED, language);
      } catch {
        // Storage may be forbidden; then the choice lasts as long as the page.
      }
    },
    /** Fills the elements that name their text in the markup. */
    fill(root) {
      document.documentElement.lang = language;
      for (const node of root.querySelectorAll("[data-text]"))
        node.textContent = text(node.dataset.text);
      for (const node of root.querySelectorAll("[data-text-label]"))
        node.setAttribute("aria-label", text(node.dataset.textLabel));
    },
    /** "5 minutes ago" */
    ago(time) {
      const seconds = Math.round((Date.now() - Date.parse(time)) / 1000);
      if (seconds < 10) return text("justNow");
      const format = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
      if (seconds < 60) return format.format(-seconds, "second");
      if (seconds < 3600) return format.format(-Math.floor(seconds / 60), "minute");
      if (seconds < 86_400) return format.format(-Math.floor(seconds / 3600), "hour");
      return format.format(-Math.floor(seconds / 86_400), "day");
    },
    when: (time) =>
      new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "medium" }).format(
        new Date(time),
      ),
    amount: (number) => new Intl.NumberFormat(language).format(number),
  };
}

function readStored() {
  try {
    const stored = localStorage.getItem(STORED);
    return stored in TEXTS ? stored : undefined;
  } catch {
    return undefined;
  }
}

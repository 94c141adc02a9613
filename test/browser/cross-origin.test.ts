import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import { expect, onTestFinished } from "vitest";
import { createDatabase, type TestDatabase } from "../support/database.ts";
import { call, type Service, startService } from "../support/service.ts";
import { LAUNCH, testInBrowser } from "./support/chromium.ts";
import { type Asked, startFront } from "./support/front.ts";

/**
 * The service's host, and the hosts whose pages call it. `localhost` is in no list of public suffixes, so each name directly under it
 * is a site of its own. The tests check the `Sec-Fetch-Site` that Chromium sends.
 */
const BELL = "bell.localhost";
const SHOP = "shop.localhost";
const NEIGHBOUR = "evil.bell.localhost";
const STRANGER = "evil.localhost";

const API = "/api/notifications";
const [CONNECTING, OPEN] = [0, 1];

/** A browser waits up to 5 s before it reconnects. */
const eventually = <T>(read: () => T, message?: string) =>
  expect.poll(read, { timeout: 15_000, ...(message === undefined ? {} : { message }) });

const inBrowser = testInBrowser("pages of other origins");

inBrowser.each([
  ["the network cuts it", {}, true],
  ["the service ends it", { MAX_STREAM_SECONDS: "1" }, false],
])(
  "an EventSource of another origin with a cookie resumes by itself when %s, without a preflight",
  async (_, env, isCut) => {
    const { front, notify, openPage, signIn } = await openService(env);
    const token = await signIn("1");
    const page = await openPage(SHOP);
    await run(
      page,
      `source = new EventSource(${json(front.origin(BELL) + API)} + "/stream", { withCredentials: true });
       listen(source);
       resumedFrom = [];
       source.onerror = () => resumedFrom.push(lastEventId);`,
    );
    await eventually(() => seen(page, "ready")).toHaveLength(1);
    await notify("before");
    await eventually(() => titles(page)).toEqual(["before"]);

    if (isCut) front.cut();
    await eventually(() => readyState(page)).toBe(CONNECTING);
    await notify("while it was away");
    await eventually(() => titles(page)).toEqual(["before", "while it was away"]);
    await notify("after");
    await eventually(() => titles(page)).toEqual(["before", "while it was away", "after"]);

    // All requests. A browser could send a preflight for Last-Event-ID.
    const asked = front.asked.filter(({ status }) => status !== undefined);
    expect(new Set(asked.map(asLine))).toEqual(new Set(["GET /stream 200"]));
    const [first, ...resumed] = asked.map(({ headers }) => headers["last-event-id"]);
    expect(first).toBeUndefined();
    expect(resumed.length).toBeGreaterThan(0);
    const resumedFrom = await page.evaluate<string[]>("resumedFrom");
    expect(resumed).toEqual(resumedFrom.slice(0, resumed.length));
    for (const { headers } of asked)
      expect(headers).toMatchObject({
        origin: front.origin(SHOP),
        "sec-fetch-site": "cross-site",
        cookie: `session=${token}`,
      });
  },
);

inBrowser(
  "an EventSource with a ticket ends with its connection; a new ticket and the last id continue it without loss or repeat",
  async () => {
    const { front, service, notify, openPage } = await openService();
    const page = await openPage(SHOP);
    await run(
      page,
      `const api = ${json(front.origin(BELL) + API)};
       const headers = { Authorization: ${json(`Bearer ${await service.token("1")}`)} };
       ends = [];
       async function follow() {
         const answer = await fetch(api + "/tickets", { method: "POST", headers });
         const { ticket } = await answer.json();
         source = new EventSource(api + "/stream?" + new URLSearchParams({ ticket, lastEventId }));
         listen(source);
         source.onerror = () => {
           if (source.readyState === EventSource.CONNECTING) return;
           ends.push(source.readyState);
           follow();
         };
       }
       follow();`,
    );
    await eventually(() => seen(page, "ready")).toHaveLength(1);
    await notify("before");
    await eventually(() => titles(page)).toEqual(["before"]);

    front.cut();
    await eventually(() => readyState(page)).toBe(CONNECTING);
    await notify("while it was away");
    await eventually(() => seen(page, "ready")).toHaveLength(2);
    await notify("after");
    await eventually(() => titles(page)).toEqual(["before", "while it was away", "after"]);

    expect(await page.evaluate("ends")).toEqual([2]);
    // The browser caches the preflight, so the second ticket needs none.
    expect(front.asked.map(asLine)).toEqual([
      "OPTIONS /tickets 204",
      "POST /tickets 200",
      "GET /stream 200",
      "GET /stream 401",
      "POST /tickets 200",
      "GET /stream 200",
    ]);
    expect(front.asked[3]?.path).toBe(front.asked[2]?.path);
    for (const { headers } of front.asked) expect(headers).not.toHaveProperty("cookie");
  },
);

inBrowser(
  "a fetch of another origin with a token and Last-Event-ID reads the stream and the response headers",
  async () => {
    const { front, service, notify, openPage } = await openService();
    const { body, headers: direct } = await call(service, "1", "/");
    await notify("missed");
    const page = await openPage(SHOP);
    await run(
      page,
      `const headers = {
         Authorization: ${json(`Bearer ${await service.token("1")}`)},
         "Last-Event-ID": ${json(body.cursor)},
       };
       text = "";
       (async () => {
         answer = await fetch(${json(front.origin(BELL) + API)} + "/stream", { headers });
         const decoder = new TextDecoder();
         const reader = answer.body.getReader();
         for (;;) text += decoder.decode((await reader.read()).value, { stream: true });
       })();`,
    );
    const said = () => page.evaluate<string>("text");
    await eventually(said).toContain('"title":"missed"');
    await notify("live");
    await eventually(said).toContain('"title":"live"');
    expect((await said()).match(/^event: .*/gm)).toEqual([
      "event: ready",
      "event: notification",
      "event: notification",
    ]);
    const readable = (name: string) => page.evaluate(`answer.headers.get(${json(name)})`);
    expect(await readable("x-service-version")).toBe(direct.get("x-service-version"));
    expect(await readable("x-request-id")).toMatch(/^[\da-f-]{36}$/);

    expect(front.asked.map(asLine)).toEqual(["OPTIONS /stream 204", "GET /stream 200"]);
    expect(front.asked[0]?.headers).toMatchObject({
      "access-control-request-headers": "authorization,last-event-id",
    });
  },
);

/**
 * What a page can make its visitor's browser do, and the requests that reach the service. The writes have no body, so it does
 * not matter that a form cannot send JSON: each would change something if it were accepted.
 */
const ATTACKS: [what: string, script: string, asked: string[]][] = [
  ["a form of text/plain", form("/mark-all-read", "text/plain"), ["POST /mark-all-read 403"]],
  [
    "an ordinary form",
    form("/mark-all-read", "application/x-www-form-urlencoded"),
    ["POST /mark-all-read 403"],
  ],
  ["a form with files", form("/mark-all-seen", "multipart/form-data"), ["POST /mark-all-seen 403"]],
  [
    "a form in a sandbox, whose origin is null",
    `const frame = document.createElement("iframe");
     frame.sandbox = "allow-scripts allow-forms";
     frame.srcdoc = '<form method=post action="' + api + '/mark-all-read"></form><script>document.forms[0].submit()</script>';
     document.body.append(frame);`,
    ["POST /mark-all-read 403"],
  ],
  [
    "fetch without CORS",
    `const answer = await fetch(api + "/mark-all-read", { method: "POST", mode: "no-cors", credentials: "include" });
     read.push(answer.status, await answer.text());`,
    ["POST /mark-all-read 403"],
  ],
  [
    "fetch without CORS for a ticket",
    `await fetch(api + "/tickets", { method: "POST", mode: "no-cors", credentials: "include" });`,
    ["POST /tickets 403"],
  ],
  ["a beacon", `navigator.sendBeacon(api + "/mark-all-seen", "");`, ["POST /mark-all-seen 403"]],
  // The browser sends a preflight for these two, and then not the request.
  [
    "fetch with PATCH",
    `await fetch(api + "/" + id, { method: "PATCH", credentials: "include", body: '{"read":true}' }).catch(refused);`,
    ["OPTIONS /:id 204"],
  ],
  [
    "fetch with JSON",
    `const headers = { "Content-Type": "application/json" };
     await fetch(api + "/mark-all-read", { method: "POST", credentials: "include", headers, body: "{}" }).catch(refused);`,
    ["OPTIONS /mark-all-read 204"],
  ],
  [
    "fetch of the list",
    `await fetch(api, { credentials: "include" }).catch(refused);`,
    ["GET 403"],
  ],
  [
    "fetch of the list without CORS",
    `const answer = await fetch(api, { mode: "no-cors", credentials: "include" });
     read.push(answer.status, await answer.text());`,
    ["GET 403"],
  ],
  ["the list as a script", load("script", "src", "''"), ["GET 403"]],
  ["the list in a frame", load("iframe", "src", "''"), ["GET 403"]],
  ["the stream as an image", load("img", "src", "'/stream'"), ["GET /stream 403"]],
  ["the stream as a film", load("video", "src", "'/stream'"), ["GET /stream 403"]],
  [
    "fetch of the stream without CORS",
    `const answer = await fetch(api + "/stream", { mode: "no-cors", credentials: "include" });
     read.push(answer.status, await answer.text());`,
    ["GET /stream 403"],
  ],
  [
    "an EventSource",
    `source = new EventSource(api + "/stream", { withCredentials: true });
     listen(source);
     await new Promise((resolve) => { source.onerror = resolve; });
     read.push(source.readyState);`,
    ["GET /stream 403"],
  ],
];

// The cookie is SameSite=None, and Chromium is told to send it to third parties. So each attack reaches the service with the
// cookie, and the service itself must refuse it. (By default Chromium does not send it from STRANGER, and neither would
// SameSite=Lax allow it. From NEIGHBOUR it is always sent, whatever its SameSite.)
inBrowser.each([
  ["another site", STRANGER, "cross-site"],
  ["another host of the service's site", NEIGHBOUR, "same-site"],
])(
  "with its visitor's cookie a page of %s changes nothing, opens no stream and reads nothing",
  async (_, host, site) => {
    const { front, database, service, notify, openPage, signIn } = await openService();
    const token = await signIn("1");
    await notify("one");
    await notify("two");
    const before = await everything(database);
    const page = await openPage(host);
    await run(
      page,
      `const [{ id }] = ${json(before.notifications)};
       Object.assign(globalThis, { api: ${json(front.origin(BELL) + API)}, id, read: [] });
       refused = (error) => { read.push(error.name); };`,
    );

    for (const [what, script, expected] of ATTACKS) {
      front.asked.length = 0;
      await page.evaluate(`(async () => { ${script} })()`);
      await eventually(() => front.asked.map(asLine), what).toEqual(expected);
      for (const { method, headers } of front.asked) {
        if (method === "OPTIONS") continue; // browsers never send a cookie with it
        expect(headers.cookie, what).toBe(`session=${token}`);
        // For a sandboxed page every site is cross-site.
        if (headers.origin !== "null") expect(headers["sec-fetch-site"], what).toBe(site);
      }
    }
    expect(await page.evaluate("read")).toEqual([
      ...[0, ""], // no-cors
      ...["TypeError", "TypeError", "TypeError"],
      ...[0, ""],
      ...[0, ""],
      2, // EventSource.CLOSED
    ]);
    expect(await seen(page, "ready")).toEqual([]);
    expect(await everything(database)).toEqual(before);
    expect(await streams(service)).toBe(0);
    expect(service.logged()).not.toContain("stream opened");

    // The cookie is valid: a page of an allowed origin can do what the others tried.
    const shop = await openPage(SHOP);
    const answer = await shop.evaluate(
      `fetch(${json(front.origin(BELL) + API)} + "/mark-all-read", {
         method: "POST",
         credentials: "include",
         headers: { "Content-Type": "application/json" },
       }).then((answer) => answer.json())`,
    );
    expect(answer).toEqual({ changed: 2 });
  },
);

inBrowser.each([
  ["that names the page's site", BELL, "same-origin"],
  ["that names none, over plain HTTP", "bell.test", undefined],
])("the service's own origin needs no ALLOWED_ORIGINS, in a browser %s", async (_, host, site) => {
  const { front, database, notify, openPage, signIn } = await openService({ ALLOWED_ORIGINS: "" });
  await signIn("1", { domain: host, sameSite: "Lax", secure: false });
  for (const title of ["one", "two", "three"]) await notify(title);
  const page = await openPage(host);
  await run(page, `source = new EventSource("${API}/stream"); listen(source);`);
  await eventually(() => readyState(page)).toBe(OPEN);
  await eventually(() => seen(page, "ready")).toMatchObject([{ unread: 3 }]);

  const write = (method: string, path: string, body: object) =>
    page.evaluate(
      `fetch("${API}${path}", {
           method: "${method}",
           headers: { "Content-Type": "application/json" },
           body: '${json(body)}',
         }).then((answer) => answer.json())`,
    );
  const [{ id }] = (await everything(database)).notifications as [{ id: string }];
  expect(await write("PATCH", `/${id}`, { read: true })).toMatchObject({ id: `${id}` });
  await eventually(() => seen(page, "state")).toMatchObject([{ unread: 2 }]);
  expect(await write("POST", "/mark-all-read", {})).toEqual({ changed: 2 });
  await eventually(async () => (await seen(page, "state")).at(-1)).toMatchObject({ unread: 0 });

  expect(front.asked.map(asLine)).toEqual([
    "GET /stream 200",
    "PATCH /:id 200",
    "POST /mark-all-read 200",
  ]);
  for (const { method, headers } of front.asked) {
    expect(headers.host).toBe(new URL(front.origin(host)).host);
    expect(headers.origin).toBe(method === "GET" ? undefined : front.origin(host));
    expect(headers["sec-fetch-site"]).toBe(site);
  }
});

/** The service behind a front of many hosts, a cookie with a token, and a new browser. */
async function openService(env: Record<string, string> = {}) {
  const database = await createDatabase();
  onTestFinished(() => database.close());
  const front = await startFront();
  const service = await startService({
    databaseUrl: database.url,
    env: { JWT_COOKIE: "session", ALLOWED_ORIGINS: front.origin(SHOP), ...env },
  });
  front.pointTo(service.url);
  const context = await openBrowser();

  async function openPage(host: string): Promise<Page> {
    const page = await context.newPage();
    const errors: unknown[] = [];
    page.on("pageerror", (error) => errors.push(error));
    onTestFinished(() => expect(errors).toEqual([]));
    await page.goto(`${front.origin(host)}/page.html`);
    await run(page, LISTEN);
    return page;
  }

  async function signIn(recipientId: string, cookie: object = {}): Promise<string> {
    const value = await service.token(recipientId);
    await context.addCookies([
      {
        name: "session",
        value,
        domain: BELL,
        path: "/",
        httpOnly: true,
        sameSite: "None",
        secure: true, // Chromium treats *.localhost as secure
        ...cookie,
      },
    ]);
    return value;
  }

  return {
    database,
    front,
    service,
    openPage,
    signIn,
    notify: (title: string) =>
      database.query("select bellwire.notify('1', 'test', title => $1)", [title]),
  };
}

/** A Chromium with its own profile that sends third-party cookies, as browsers long did. */
async function openBrowser(): Promise<BrowserContext> {
  const profile = await mkdtemp(join(tmpdir(), "bellwire-chromium-"));
  await mkdir(join(profile, "Default"));
  const preferences = { profile: { cookie_controls_mode: 0 } };
  await writeFile(join(profile, "Default", "Preferences"), json(preferences));
  const context = await chromium.launchPersistentContext(profile, {
    ...LAUNCH,
    args: [...LAUNCH.args, "--host-resolver-rules=MAP *.test 127.0.0.1"],
  });
  onTestFinished(async () => {
    await context.close();
    await rm(profile, { recursive: true, force: true });
  });
  return context;
}

/** What a page records: the names of its events, the last id, and the source itself. */
const LISTEN = `
  var source, events = [], lastEventId = "";
  function listen(source) {
    for (const name of ["ready", "notification", "state", "reset", "auth"])
      source.addEventListener(name, (event) => {
        events.push({ name, data: JSON.parse(event.data) });
        lastEventId = event.lastEventId;
      });
  }`;

const run = (page: Page, content: string) => page.addScriptTag({ content });
const json = JSON.stringify;
const readyState = (page: Page) => page.evaluate<number>("source.readyState");

async function seen(page: Page, name: string): Promise<unknown[]> {
  const events = await page.evaluate<{ name: string; data: object }[]>("events");
  return events.filter((event) => event.name === name).map(({ data }) => data);
}

const titles = async (page: Page) =>
  ((await seen(page, "notification")) as { title: string }[]).map(({ title }) => title);

/** Such as `POST /mark-all-read 403`; without a status while there is no response. */
const asLine = ({ method, path, status }: Asked) =>
  [method, path.replace(API, "").replace(/\?.*/, "").replace(/\d+$/, ":id"), status]
    .filter(Boolean)
    .join(" ");

function form(path: string, enctype: string): string {
  return `
    const frame = document.createElement("iframe");
    frame.name = "${path} ${enctype}";
    document.body.append(frame);
    const form = document.createElement("form");
    Object.assign(form, { method: "post", action: api + "${path}", enctype: "${enctype}", target: frame.name });
    document.body.append(form);
    form.submit();`;
}

function load(element: string, attribute: string, path: string): string {
  return `
    const element = document.createElement("${element}");
    element.${attribute} = api + ${path};
    document.body.append(element);
    await new Promise((resolve) => { element.onload = element.onerror = resolve; });`;
}

/** Every row that a request could change. */
async function everything({ query }: TestDatabase) {
  const notifications = await query("select * from bellwire.notifications order by id");
  const preferences = await query("select * from bellwire.preferences");
  const tickets = await query("select * from bellwire.tickets");
  return { notifications, preferences, tickets };
}

async function streams({ metricsUrl }: Service): Promise<number> {
  const metrics = await (await fetch(metricsUrl)).text();
  return Number(/^bellwire_streams (\d+)$/m.exec(metrics)?.[1]);
}

import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";
import { chromium } from "playwright-core";
import { describe, expect, onTestFinished, test } from "vitest";
import { LAUNCH, testInBrowser } from "../../../test/browser/support/chromium.ts";
import { startFront } from "../../../test/browser/support/front.ts";
import { createDatabase } from "../../../test/support/database.ts";
import { startService } from "../../../test/support/service.ts";

const inBrowser = testInBrowser("the hooks in StrictMode");

const pathOf = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const REACTS = {
  "18": pathOf("../../../test/react-18/node_modules"),
  "19": pathOf("../../../node_modules"),
};
const VERSIONS = Object.entries(REACTS);

/** What a user writes. */
const APP = `
  import { version } from "react";
  import { BellProvider, useBell, useBellStatus, useNotifications, useUnreadCount } from "./react.ts";

  function Inbox() {
    const bell = useBell();
    const { notifications } = useNotifications();
    const rows = notifications.map(({ id, title, readAt }) =>
      <li key={id} onClick={() => bell?.markAsRead(id)}>{title}{readAt && " (read)"}</li>);
    return <><h1>{version} {useBellStatus()} {useUnreadCount()}</h1><ul>{rows}</ul></>;
  }
  // Another getToken at each render, as in most pages.
  const App = (options) => <BellProvider {...options} {...(options.getToken ? { getToken: () => options.getToken() } : {})}><Inbox /></BellProvider>;`;

/** The app and this program, with a development build of React, which is the one that StrictMode tests. */
function bundle(modules: string, program: string, format: "cjs" | "esm"): string {
  const [output] = buildSync({
    stdin: { contents: APP + program, loader: "jsx", resolveDir: pathOf("../src") },
    alias: { react: `${modules}/react`, "react-dom": `${modules}/react-dom` },
    jsx: "automatic",
    define: { "process.env.NODE_ENV": '"development"' },
    platform: format === "cjs" ? "node" : "browser",
    bundle: true,
    format,
    write: false,
  }).outputFiles;
  return output?.text ?? "";
}

/** Renders the app in Node.js, where a request would throw. */
function renderOnServer(modules: string): string {
  const program = bundle(
    modules,
    `
    import { renderToString } from "react-dom/server";
    globalThis.fetch = () => { throw new Error("a request on the server"); };
    console.log(renderToString(<App url="/api/notifications" />));`,
    "cjs",
  );
  return run(program).trim();
}

/** In a Node.js of its own, by its standard input: it is too long for an argument. */
const run = (input: string): string =>
  execFileSync(process.execPath, ["-"], { input, encoding: "utf8", stdio: "pipe" });

const WITHOUT_PROVIDER = `
  import { renderToString } from "react-dom/server";
  renderToString(<Inbox />);`;

describe.each(VERSIONS)("React %s", (major, modules) => {
  test("renders on a server, without window, as a bell that is connecting and empty", () => {
    const html = renderOnServer(modules);
    const text = html.replaceAll(/<!-- -->/g, "");
    expect(text).toMatch(new RegExp(`^<h1>${major}\\.\\S+ connecting 0</h1><ul></ul>$`));
  });

  test("a hook without a provider says what to do", () => {
    const program = bundle(modules, WITHOUT_PROVIDER, "cjs");
    expect(() => run(program)).toThrow("Put a <BellProvider> around what uses the bell.");
  });

  inBrowser(
    "in StrictMode has one open bell, after each mount, and none after an unmount",
    async () => {
      const database = await createDatabase();
      onTestFinished(database.close);
      const service = await startService({ databaseUrl: database.url });
      const notify = (title: string) =>
        database.query("select bellwire.notify('1', 'note', title => $1)", [title]);
      const streams = async () =>
        /^bellwire_streams (\d+)$/m.exec(await (await fetch(service.metricsUrl)).text())?.[1];
      const html = renderOnServer(modules);
      const front = await startFront(
        bundle(
          modules,
          `
        import { StrictMode } from "react";
        import { hydrateRoot } from "react-dom/client";
        const root = document.body.appendChild(document.createElement("main"));
        root.innerHTML = ${JSON.stringify(html)};
        globalThis.errors = [];
        const getToken = async () => ${JSON.stringify(await service.token("1"))};
        const page = (url) => <StrictMode>{url && <App url={url} getToken={getToken} />}</StrictMode>;
        const mounted = hydrateRoot(root, page("/api/notifications"), {
          onRecoverableError: (error) => errors.push(String(error)),
        });
        globalThis.show = (url) => mounted.render(page(url));`,
          "esm",
        ).replaceAll("</script", "<\\/script"),
      );
      front.pointTo(service.url);
      const browser = await chromium.launch(LAUNCH);
      onTestFinished(() => browser.close());
      const page = await browser.newPage();
      const problems: string[] = [];
      const isFavicon = (url: string) => url.endsWith("/favicon.ico");
      page.on("console", (line) => {
        if (line.type() === "error" && !isFavicon(line.location().url)) problems.push(line.text());
      });
      page.on("pageerror", (error) => problems.push(String(error)));
      const heading = () => page.locator("h1").textContent();
      const titles = () => page.locator("li").allTextContents();
      const opened = () => front.asked.filter(({ path }) => path.includes("/stream")).length;
      const version = new RegExp(`^${major}\\.\\S+ `);

      await page.goto(`${front.origin("shop.localhost")}/page.html`);
      await expect.poll(heading).toMatch(/ live 0$/);
      expect(await heading()).toMatch(version);
      await notify("first");
      await expect.poll(titles).toEqual(["first"]);
      expect(await heading()).toMatch(/ live 1$/);
      expect(await streams()).toBe("1");

      // A render with the same options keeps the bell; another option gives another one.
      const before = opened();
      await page.evaluate("show('/api/notifications')");
      await page.locator("li").click();
      await expect.poll(titles).toEqual(["first (read)"]);
      expect(opened()).toBe(before);
      await page.evaluate("show('/api/../api/notifications')");
      await notify("second");
      await expect.poll(titles).toEqual(["second", "first (read)"]);
      await expect.poll(streams).toBe("1");
      expect(opened()).toBeGreaterThan(before);

      await page.evaluate("show(undefined)");
      await expect.poll(streams).toBe("0");
      await page.evaluate("show('/api/notifications')");
      await expect.poll(heading).toMatch(/ live 1$/);
      await notify("third");
      await expect.poll(titles).toEqual(["third", "second", "first (read)"]);
      expect(await streams()).toBe("1");
      expect(await page.evaluate("errors")).toEqual([]);
      expect(problems).toEqual([]);
    },
  );
});

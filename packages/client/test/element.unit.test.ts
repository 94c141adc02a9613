import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { contentOf, type Template } from "../src/element/content.ts";
import { hrefOf } from "../src/element/links.ts";
import { createWording, usableLanguage } from "../src/element/texts.ts";
import { createClock } from "../src/element/time.ts";

const PAGE = { baseURI: "https://shop.example/en/", location: { origin: "https://shop.example" } };

test("a server can import the element", async () => {
  expect(globalThis.customElements).toBeUndefined();
  const { NotificationBell } = await import("../src/element.ts");
  expect(NotificationBell.observedAttributes).toContain("url");
});

describe("a link", () => {
  test.each([
    ["/tasks/7", "https://shop.example/tasks/7"],
    ["tasks/7?a=1#b", "https://shop.example/en/tasks/7?a=1#b"],
    ["https://other.example/x", "https://other.example/x"],
    ["HTTP://other.example", "http://other.example/"],
  ])("leads to %s", (link, href) => expect(hrefOf(link, PAGE)).toBe(href));

  test.each([
    ...["javascript:alert(1)", " \u0001javascript:alert(1)", "java\nscript:alert(1)"],
    ...["JaVaScRiPt://shop.example/%0aalert(1)", "data:text/html,<script>alert(1)</script>"],
    ...["vbscript:x", "file:///etc/passwd", "blob:https://shop.example/1", "mailto:a@b.example"],
    ...["//other.example/x", "/\\other.example/x", "\\\\other.example", "http://[", "", "  "],
    null,
  ])("does not lead to %j", (link) => expect(hrefOf(link, PAGE)).toBeUndefined());

  test("of a page with another site's base leads nowhere", () => {
    const elsewhere = { ...PAGE, baseURI: "https://cdn.example/" };
    expect(hrefOf("tasks/7", elsewhere)).toBeUndefined();
  });
});

describe("texts", () => {
  test("have the form that a Russian number asks for", () => {
    const { count, texts } = createWording("ru");
    const said = [1, 2, 5, 11, 21, 22, 112, 1001].map((n) => count(texts.newCount, n));
    expect(said.map((each) => each.replace(/\s/g, " "))).toEqual([
      "1 новое уведомление",
      "2 новых уведомления",
      "5 новых уведомлений",
      "11 новых уведомлений",
      "21 новое уведомление",
      "22 новых уведомления",
      "112 новых уведомлений",
      "1 001 новое уведомление",
    ]);
  });

  test("are the page's own where it has them, and else English", () => {
    const { texts } = createWording("fr", { close: "Fermer", status: { live: "Connecté" } });
    expect([texts.close, texts.status.live]).toEqual(["Fermer", "Connecté"]);
    expect([texts.archive, texts.status.offline]).toEqual(["Archive", "Offline"]);
  });

  test("Russian and English have the same", () => {
    const keys = (language: string) => Object.keys(createWording(language).texts).sort();
    expect(keys("ru")).toEqual(keys("en"));
  });

  test("are in a language that there is", () => {
    expect(usableLanguage("", null, "english, please", "ru_RU", "de-at", "en")).toBe("de-AT");
    expect(usableLanguage(undefined)).toBe("en");
  });
});

describe("a time", () => {
  const now = Date.parse("2026-11-30T12:00:00Z");
  test.each([
    ["2026-11-30T12:00:40Z", "now"],
    ["2026-11-30T11:59:50Z", "now"],
    ["2026-11-30T11:59:00Z", "1 min. ago"],
    ["2026-11-30T11:00:01Z", "59 min. ago"],
    ["2026-11-30T11:00:00Z", "1 hr. ago"],
    ["2026-11-29T11:00:00Z", "yesterday"],
    ["2026-11-24T11:00:00Z", "6 days ago"],
    ["2026-11-20T11:00:00Z", "Nov 20, 2026"],
    ["2026-12-24T11:00:00Z", "Dec 24, 2026"],
    ["infinity", "infinity"],
  ])("%s is %s", (time, ago) => expect(createClock("en").ago(time, now)).toBe(ago));

  test("is told in the user's language", () => {
    expect(createClock("ru").ago("2026-11-30T11:55:00Z", now)).toBe("5 мин. назад");
    expect(createClock("de").absolute("2026-11-30T11:55:00Z")).toContain("Montag");
    expect(createClock("de").absolute("infinity")).toBe("infinity");
  });
});

describe("a notification's content", () => {
  beforeAll(() => void vi.stubGlobal("document", PAGE));
  afterAll(() => void vi.unstubAllGlobals());
  const notification = {
    ...{ id: "1", type: "note", actorId: null, title: "Title", body: "Body", link: null },
    ...{ data: null, createdAt: "", seenAt: null, readAt: null, archivedAt: null },
  };
  const made = (template: Template, fields = {}) =>
    contentOf({ ...notification, ...fields }, { note: template }, createWording("en"));

  test("is its own where the template makes none", () => {
    expect(made(() => ({}))).toMatchObject({ title: "Title", body: "Body" });
    expect(made(() => ({ title: "Made" }))).toMatchObject({ title: "Made", body: "Body" });
    expect(made(() => ({ body: null }))).toMatchObject({ title: "Title", body: "" });
  });

  test("has a title when there is none", () => {
    expect(made(() => ({}), { title: null, body: null })).toMatchObject({
      title: "Notification",
      body: "",
    });
  });

  test("is cut between characters", () => {
    const { title } = made(() => ({ title: `${"x".repeat(199)}🔔 and more` }));
    expect(title).toBe(`${"x".repeat(199)}…`);
  });
});

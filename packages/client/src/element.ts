import { type Bell, createBell } from "./bell.ts";
import type { Templates } from "./element/content.ts";
import { sheet } from "./element/styles.ts";
import { createWording, type OwnTexts, usableLanguage, type Wording } from "./element/texts.ts";
import { createView } from "./element/view.ts";

export type { Template, TemplateResult, Templates } from "./element/content.ts";
export type { OwnTexts, Plural, Texts } from "./element/texts.ts";

declare global {
  interface HTMLElementTagNameMap {
    "notification-bell": NotificationBell;
  }
}

type GetToken = () => Promise<string>;

const TAG = "notification-bell";
const PATH = "/api/notifications";

/** A server that renders the page imports this file too, and has no elements. */
const Base = globalThis.HTMLElement ?? (class {} as typeof HTMLElement);

/**
 * `<notification-bell>`: a bell with its list and its toasts. It connects when it is put into the page and ends the connection when it is taken
 * out. Being moved within the page is neither.
 */
export class NotificationBell extends Base {
  static observedAttributes = ["url", "lang", "placement", "toasts"];

  #bell: Bell | undefined;
  #getToken: GetToken | undefined;
  #templates: Templates = {};
  #texts: OwnTexts | undefined;
  #wording: Wording | undefined;
  #view = createView({
    root: this.attachShadow({ mode: "open" }),
    bell: () => this.#bell,
    wording: () => this.#words(),
    templates: () => this.#templates,
    retry: () => this.reconnect(),
  });

  constructor() {
    super();
    (this.shadowRoot as ShadowRoot).adoptedStyleSheets = [sheet()];
    // What the page has set before this script came hides the accessors.
    for (const name of ["getToken", "templates", "texts"] as const) {
      if (!Object.hasOwn(this, name)) continue;
      const value = this[name] as never;
      delete this[name];
      this[name] = value;
    }
  }

  /** Resolves to a token. Without it, requests carry the page's cookies. Set it in the task that makes the element. */
  get getToken(): GetToken | undefined {
    return this.#getToken;
  }
  set getToken(getToken: GetToken | undefined) {
    const isOther = (getToken === undefined) !== (this.#getToken === undefined);
    // A framework may set a new function at every render, which is no reason to connect again.
    this.#getToken = getToken;
    if (isOther) this.reconnect();
  }

  /** Texts of notifications by their type, made in the page. */
  get templates(): Templates {
    return this.#templates;
  }
  set templates(templates: Templates | undefined) {
    this.#templates = templates ?? {};
    this.#view.refresh();
  }

  /** The bell's own texts, where they are not those of the language. */
  get texts(): OwnTexts | undefined {
    return this.#texts;
  }
  set texts(texts: OwnTexts | undefined) {
    this.#texts = texts;
    this.#wording = undefined;
    this.#view.refresh();
  }

  /** Connects again: the page's user has signed in, or is another one. */
  reconnect(): void {
    this.#disconnect();
    this.#schedule();
  }

  connectedCallback(): void {
    this.#schedule();
  }

  disconnectedCallback(): void {
    this.#view.close();
    this.#schedule();
  }

  attributeChangedCallback(name: string, before: string | null, after: string | null): void {
    if (name === "url" && before !== after) this.reconnect();
    this.#view.refresh();
  }

  /** After the task, in which the page may still set properties, or put the element elsewhere. */
  #schedule(): void {
    queueMicrotask(() => {
      if (!this.isConnected) this.#disconnect();
      else if (!this.#bell) this.#connect();
    });
  }

  #connect(): void {
    const bell = createBell({
      url: this.#url(),
      ...(this.#getToken && { getToken: () => (this.#getToken as GetToken)() }),
    });
    this.#bell = bell;
    const show = () => {
      if (this.#bell === bell) this.#view.show(bell.getSnapshot());
    };
    bell.subscribe(show);
    bell.on("notification", (notification) => {
      if (this.#bell === bell) this.#view.arrived(notification);
    });
    show();
  }

  #disconnect(): void {
    this.#bell?.close();
    this.#bell = undefined;
  }

  /** Without `url`: the service that this script came from, or the page's own origin if a bundler has put the script into the page's. */
  #url(): string {
    const url = this.getAttribute("url");
    const script = import.meta.url;
    try {
      const base = url || !/^https?:/.test(script) ? document.baseURI : script;
      return new URL(url || PATH, base).href.replace(/\/$/, "");
    } catch {
      throw new TypeError(`<${TAG} url="${url}">: this is not a URL. Use one as ${PATH}.`);
    }
  }

  #words(): Wording {
    const language = usableLanguage(
      this.closest<HTMLElement>("[lang]")?.lang,
      document.documentElement.lang,
      navigator.language,
    );
    if (this.#wording?.language !== language) this.#wording = createWording(language, this.#texts);
    return this.#wording as Wording;
  }
}

if (globalThis.customElements && !customElements.get(TAG))
  customElements.define(TAG, NotificationBell);

/**
 * The requests of the page. A real application drops the `/demo/as/<id>` prefix and sends its session:
 * `fetch("/api/notifications/?limit=30")` with the cookie, or an `Authorization: Bearer` header.
 */
export const listUsers = () => request("/demo/users");
export const readState = (userId) => request(`/demo/state?user=${userId}`);
export const perform = (act) => request("/demo/acts", { method: "POST", body: act });

export const inboxUrl = (userId) => `/demo/as/${userId}/api/notifications`;

export function createInboxApi(userId) {
  const base = inboxUrl(userId);
  return {
    list: ({ before, limit = 30 } = {}) =>
      request(`${base}/?limit=${limit}${before ? `&before=${before}` : ""}`),
    markRead: (id) => request(`${base}/${id}`, { method: "PATCH", body: { read: true } }),
    /** `cursor` is the page's position. Notifications that arrive meanwhile, or commit late, stay unread. */
    markAllRead: (cursor) => request(`${base}/mark-all-read`, { method: "POST", body: { cursor } }),
  };
}

async function request(url, { method = "GET", body } = {}) {
  const response = await fetch(url, {
    method,
    signal: AbortSignal.timeout(15_000),
    ...(body && {
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    }),
  });
  if (response.ok) return response.json();
  const error = new Error(`${method} ${url}: ${response.status}`);
  error.status = response.status;
  throw error;
}

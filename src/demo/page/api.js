/**
 * The requests of the page. A real application needs no `/demo/as/<id>` before the bell's URL: the bell's requests carry its session's
 * cookie, or what `getToken` resolves to.
 */
export const listUsers = () => request("/demo/users");
export const readState = (userId) => request(`/demo/state?user=${userId}`);
export const perform = (act) => request("/demo/acts", { method: "POST", body: act });

export const inboxUrl = (userId) => `/demo/as/${userId}/api/notifications`;

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

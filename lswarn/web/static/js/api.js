// The one door to the server. The token stays in this tab: never in an address, never on disk.

export class ApiError extends Error {
  constructor(status, detail, retryAfter) {
    super(detail);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

export const token = {
  get: () => sessionStorage.getItem("token") || "",
  set: (value) => (value ? sessionStorage.setItem("token", value) : sessionStorage.removeItem("token")),
};

export const headers = () => (token.get() ? { Authorization: `Bearer ${token.get()}` } : {});

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { ...options, headers: { Accept: "application/json", ...headers(), ...options.headers }, signal: options.signal || AbortSignal.timeout(20000) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, error.message);
  }
  const body = await answer.json().catch(() => null);
  if (!answer.ok) {
    throw new ApiError(answer.status, (body && (body.detail || body.title)) || answer.statusText, Number(answer.headers.get("Retry-After")) || 0);
  }
  return body;
}

/** Read something. Query values that are null or empty are left out. */
export function get(path, query = {}, signal = undefined) {
  const told = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return ask(told.length ? `${path}?${new URLSearchParams(told)}` : path, { signal });
}

/** Say something. */
export function post(path, body) {
  return ask(path, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
}

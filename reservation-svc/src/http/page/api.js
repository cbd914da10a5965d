// Speaks with the service: tokens, problems, retries. What the session's end and a refused token mean is told by events.

const RETRIES = 3;
/** Keys of what was sent and never answered, by request: asked for again, it is the same thing and not a second one. */
const unanswered = new Map();
const events = new EventTarget();
let serverAheadMs = 0;

/** `ended`: the waiting room wants us back in line. `signedout`: the user's token is not good any more. */
export const on = (name, handler) => events.addEventListener(name, handler);

/** Says what happened outside of a request. */
export const tell = (name) => events.dispatchEvent(new Event(name));

/** The time by the service's clock: holds end by that one. */
export const serverNow = () => Date.now() + serverAheadMs;

/** A refusal of the service, or none at all (status 0). */
export class Problem extends Error {
  constructor(status, body, handled = false) {
    super(body.detail || body.title || "The service does not answer. Please try again.");
    this.status = status;
    this.body = body;
    this.kind = String(body.type || "").replace("/problems/", "");
    this.handled = handled;
  }
}

export const token = {
  get: () => sessionStorage.getItem("token"),
  set: (value) => sessionStorage.setItem("token", value),
  drop: () => sessionStorage.removeItem("token"),
  /** Whose token it is: only to show it, the service checks. */
  user() {
    try {
      return JSON.parse(atob(this.get().split(".")[1].replaceAll("-", "+").replaceAll("_", "/"))).sub;
    } catch {
      return null;
    }
  },
};

/** A key under which the service does a thing once, however often it is asked. */
export function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Whether nobody can know yet if it was done. */
const unknown = ({ status, kind }) => status === 0 || status >= 500 || kind === "idempotency-key-in-progress";

/**
 * The JSON of an answer. `POST`s are sent again with the same key, so that nothing happens twice: by us, and by a
 * visitor who presses the button once more because nobody has answered.
 */
export async function call(method, path, body) {
  const headers = { accept: "application/json" };
  if (token.get()) headers.authorization = `Bearer ${token.get()}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  const request = { method, headers, body: body === undefined ? undefined : JSON.stringify(body) };
  if (method !== "POST") return answered(path, request);
  const name = `${path} ${request.body ?? ""}`;
  headers["idempotency-key"] = unanswered.get(name) ?? newKey();
  unanswered.set(name, headers["idempotency-key"]);
  try {
    const value = await answered(path, request);
    unanswered.delete(name);
    return value;
  } catch (problem) {
    if (!unknown(problem)) unanswered.delete(name);
    throw problem;
  }
}

async function answered(path, request) {
  for (let attempt = 0; ; attempt += 1) {
    const answer = await once(path, request);
    if (answer.ok) return answer.value;
    const { problem } = answer;
    const again = ["too-many-requests", "idempotency-key-in-progress"].includes(problem.kind);
    if (!(again || problem.status === 0 || problem.status === 503) || attempt >= RETRIES) throw problem;
    await pause(answer.afterMs || 400 * 2 ** attempt);
  }
}

async function once(path, request) {
  let response;
  try {
    response = await fetch(path, request);
  } catch {
    return { ok: false, problem: new Problem(0, {}) };
  }
  const date = Date.parse(response.headers.get("date"));
  if (date) serverAheadMs = date - Date.now();
  const text = await response.text().catch(() => "");
  let value = null;
  try {
    value = text ? JSON.parse(text) : null;
  } catch {
    // Something in between that does not speak JSON.
  }
  if (response.ok) return { ok: true, value };
  const afterMs = Math.min(Number(response.headers.get("retry-after")) || 0, 5) * 1000;
  return { ok: false, problem: refused(response.status, value || {}), afterMs };
}

function refused(status, body) {
  const problem = new Problem(status, body);
  if ((status === 429 && problem.kind === "waiting") || problem.kind === "queue-token-required") {
    problem.handled = true;
    tell("ended");
  } else if (status === 401) {
    token.drop();
    problem.handled = true;
    tell("signedout");
  }
  return problem;
}

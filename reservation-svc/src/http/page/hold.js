// The hold that this visitor has: remembered over a reload, counted down in one place.

import { call, serverNow, token } from "./api.js";
import { notice } from "./dom.js";
import { left } from "./format.js";

const KEY = "hold";
/** Left seconds at which the countdown is read out. */
const SAY_AT = [120, 60, 30, 10];

const read = () => {
  try {
    return JSON.parse(sessionStorage.getItem(KEY));
  } catch {
    return null;
  }
};

// The service's clock is known to the second: this is off by less than one.
const secondsOf = (held) => Math.max(0, Math.floor((Date.parse(held.expires_at) - serverNow()) / 1000));

export const hold = {
  current: read,
  /** The hold, if it is of this schedule. */
  of: (schedule) => (read()?.schedule_id === schedule ? read() : null),
  keep(held) {
    sessionStorage.setItem(KEY, JSON.stringify(held));
    tick();
  },
  drop() {
    sessionStorage.removeItem(KEY);
    tick();
  },
  seconds: secondsOf,
};

let said = null;

function tick() {
  const link = document.getElementById("held");
  const held = read();
  const seconds = held ? secondsOf(held) : 0;
  if (held && seconds === 0) {
    sessionStorage.removeItem(KEY);
    notice("The time is up. Your seats are free for others again.");
    document.dispatchEvent(new CustomEvent("holdover", { detail: held.hold_id }));
  }
  link.hidden = seconds === 0 || location.hash === `#/hold/${held.hold_id}`;
  if (seconds === 0) return;
  link.href = `#/hold/${held.hold_id}`;
  link.textContent = `${held.seats.join(", ")} held for you: ${left(seconds)} to pay`;
  document.dispatchEvent(new CustomEvent("countdown", { detail: seconds }));
  if (SAY_AT.includes(seconds) && said !== seconds) {
    said = seconds;
    notice(`${left(seconds)} left to pay for ${held.seats.join(", ")}.`);
  }
}

/** After a reload: the hold as the service knows it, and the clock running. */
export async function resume() {
  setInterval(tick, 500);
  addEventListener("hashchange", tick);
  const held = read();
  if (!held || !token.get()) return;
  try {
    const now = await call("GET", `/holds/${held.hold_id}`);
    if (now.status === "active") hold.keep(now);
    else hold.drop();
  } catch (problem) {
    if (problem.status === 404) hold.drop();
  }
}

// Starts the page: which view is shown, and what happens when the session or the token ends.

import { on, serverNow, token } from "./api.js";
import { chosen } from "./chosen.js";
import { el, heading, notice, unnotice } from "./dom.js";
import { clock } from "./format.js";
import { hold as kept, resume } from "./hold.js";
import { demo, demoLogin, refreshBalance } from "./user.js";
import { concerts, evenings } from "./views/concerts.js";
import { hold } from "./views/hold.js";
import { seats } from "./views/seats.js";
import { signIn } from "./views/sign_in.js";
import { ticket } from "./views/ticket.js";
import { tickets } from "./views/tickets.js";
import { wallet } from "./views/wallet.js";

const ROUTES = [
  [/^\/?$/, concerts, "concerts"],
  [/^\/concerts\/(\d+)$/, evenings, "concerts"],
  [/^\/seats\/(\d+)\/(\d+)$/, seats, "concerts"],
  [/^\/hold\/([0-9a-f-]{36})$/, hold, "concerts", true],
  [/^\/tickets$/, tickets, "tickets", true],
  [/^\/tickets\/([0-9a-f-]{36})$/, ticket, "tickets", true],
  [/^\/wallet$/, wallet, "wallet", true],
  [/^\/sign-in$/, signIn, ""],
];

const main = document.getElementById("main");
let leaving = new AbortController();
let wanted = "/";
let first = true;

const go = (path) => {
  if (location.hash === `#${path}`) show();
  else location.hash = `#${path}`;
};

async function show() {
  leaving.abort();
  leaving = new AbortController();
  unnotice();
  const { signal } = leaving;
  const path = location.hash.slice(1);
  const [pattern, view, nav, needsUser] = ROUTES.find(([pattern]) => pattern.test(path)) ?? ROUTES[0];
  if (needsUser && !token.get()) {
    wanted = path;
    return go("/sign-in");
  }
  if (view !== signIn) wanted = path;
  for (const link of document.querySelectorAll("[data-nav]")) {
    if (link.dataset.nav === nav) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  // Views draw into a place of their own: one that comes late draws where nobody looks any more.
  const stage = el("div", { class: "view" });
  try {
    await view(stage, path.match(pattern)?.slice(1) ?? [], { signal, go, back: () => go(wanted || "/") });
    if (signal.aborted) return;
  } catch (problem) {
    if (signal.aborted || problem.handled) return;
    stage.replaceChildren(heading("That did not work"), el("p", { class: "lead", text: problem.message }), el("a", { class: "button", href: "#/", text: "All concerts" }));
    if (!problem.kind && problem.status === undefined) console.error(problem);
  }
  if (!stage.firstChild) return;
  main.replaceChildren(stage);
  const title = main.querySelector("h1");
  document.title = `${title.textContent} · Box office`;
  // The first view is where the browser has put the reader already.
  if (!first) title.focus();
  if (!first) scrollTo(0, 0);
  first = false;
}

function sessionEnded() {
  const dialog = document.getElementById("ended");
  if (dialog.open) return;
  const held = kept.current();
  const until = held && kept.seconds(held) > 0 ? `, and ${held.seats.join(", ")} stay held until ${clock(serverNow() + kept.seconds(held) * 1000)}` : "";
  document.getElementById("ended-held").textContent = until;
  const wish = chosen.all();
  document.getElementById("ended-chosen").textContent = wish.length ? ` We remember that you chose ${wish.join(", ")}, and choose again for you what is still free then. Until you hold them, others can.` : "";
  dialog.showModal();
}

on("ended", sessionEnded);
on("signedout", async () => {
  await refreshBalance();
  notice("Please sign in again.");
  go("/sign-in");
});
const ended = document.getElementById("ended");
ended.addEventListener("cancel", (event) => event.preventDefault());
// The same address as a page: the waiting room takes over, and brings the visitor back here.
ended.querySelector("button").addEventListener("click", () => location.reload());
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
addEventListener("hashchange", show);

try {
  if (demo && !token.get()) await demoLogin();
  await Promise.all([refreshBalance(), resume()]);
} catch (problem) {
  if (!problem.handled) notice(problem.message);
}
await show();

// Who is buying: with a token pasted in, or as a visitor of the demo.

import { token } from "../api.js";
import { button, el, heading, notice } from "../dom.js";
import { demo, demoLogin, refreshBalance } from "../user.js";

export async function signIn(main, _parameters, { back }) {
  const enter = async () => {
    await refreshBalance();
    back();
  };
  if (demo) {
    const start = button("Go on as a visitor of the demo", async () => {
      await demoLogin();
      await enter();
    }, { class: "main" });
    return main.replaceChildren(heading("Welcome to the demo"), el("p", { class: "lead", text: "You get the wallet of one of its users, with play money in it." }), start);
  }
  const field = el("textarea", { id: "token", rows: "4", spellcheck: "false", autocomplete: "off", "aria-describedby": "token-hint" });
  const go = button("Sign in", async () => {
    if (field.value.trim().split(".").length !== 3) {
      notice("That is not a token: it has three parts with dots between.");
      return field.focus();
    }
    token.set(field.value.trim());
    await enter();
  }, { class: "main" });
  const hint = el("p", { class: "hint", id: "token-hint" }, "For development: ", el("code", { text: "reservation-svc user-token --user 7" }));
  main.replaceChildren(heading("Sign in"), el("p", { class: "lead", text: "Your token stays in this tab and is forgotten with it." }), el("div", { class: "card form" }, el("label", { for: "token", text: "User token" }), field, hint, go));
}

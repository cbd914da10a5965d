// Paying by card: names a means of payment that the gateway knows. A card's number has no place here.

import { button, el, notice } from "../dom.js";
import { money } from "../format.js";

/** As short and as harmless as the service wants it; what it means is the gateway's. */
const SOURCE = /^[!-~]{1,255}$/;
/** Twelve digits and more, grouped or not: a card's number, which must not be sent. */
const NUMBER = /^[\d -]{12,}$/;

/** The other way to pay; `pay` is called with the payment as the service takes it. */
export function byCard({ amount, currency }, pay) {
  const field = el("input", { id: "source", autocomplete: "off", spellcheck: "false", autocapitalize: "none", maxlength: "255", "aria-describedby": "source-hint" });
  const refuse = (words) => {
    notice(words);
    field.focus();
  };
  const go = button(`Pay ${money(amount, currency)} by card`, () => {
    const source = field.value.trim();
    if (NUMBER.test(source)) return refuse("That looks like a card’s number. Please do not type it here; it was not sent.");
    if (source && !SOURCE.test(source)) return refuse("The token has letters, digits and signs only, without spaces.");
    return pay(source ? { method: "card", source } : { method: "card" });
  });
  return el("details", { class: "card-way" },
    el("summary", { text: "Pay by card instead" }),
    el("div", { class: "form" },
      el("label", { for: "source", text: "Token of your card, from the payment provider" }),
      field,
      el("p", { class: "hint", id: "source-hint", text: "Such as tok_…; empty for the card that the provider has of you. Never a card’s number." }),
      go));
}

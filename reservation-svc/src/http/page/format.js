// Money, times and seats as people write them. Pure.

/** An amount in the smallest unit of its currency. */
export function money(amount, currency) {
  const format = new Intl.NumberFormat("en", { style: "currency", currency, currencyDisplay: "narrowSymbol" });
  return format.format(amount / 10 ** format.resolvedOptions().maximumFractionDigits);
}

/** `Sunday, 20 December 2026` and `19:00 GMT+9`, where the reader is. */
export function day(time) {
  return new Intl.DateTimeFormat("en-GB", { dateStyle: "full" }).format(new Date(time));
}

export function clock(time) {
  const options = { hour: "2-digit", minute: "2-digit", timeZoneName: "short" };
  return new Intl.DateTimeFormat("en-GB", options).format(new Date(time));
}

export function moment(time) {
  return new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" }).format(new Date(time));
}

/** `4:05`. */
export function left(seconds) {
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

/** `1 seat`, `2 seats`. */
export function count(number, what) {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

/** The row and the number of a seat: `A-12` is 12 in row A. */
export function place(seat) {
  const at = seat.lastIndexOf("-");
  return at < 0 ? { row: seat, number: "" } : { row: seat.slice(0, at), number: seat.slice(at + 1) };
}

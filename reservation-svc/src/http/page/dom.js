// Makes elements, and says things to people who look and to people who listen. No requests here.

/** An element: `class`, `text`, `on: {event: handler}` and attributes; children may be strings, nodes or nothing. */
export function el(tag, { text, on = {}, ...attributes } = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  for (const [event, handler] of Object.entries(on)) element.addEventListener(event, handler);
  if (text != null) element.textContent = text;
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

let clearing, noticed = 0;

/** Shows a sentence at the foot of the page for some seconds, and has it read out. */
export function notice(text) {
  const place = document.getElementById("notice");
  place.textContent = "";
  clearTimeout(clearing);
  if (!text) return;
  noticed = Date.now();
  // A new text in the next frame: the same words twice would be read once.
  requestAnimationFrame(() => {
    place.textContent = text;
  });
  clearing = setTimeout(() => {
    place.textContent = "";
  }, 8000);
}

/** Takes away what was said for an earlier view. What led to this one has only just been said, and stays. */
export function unnotice() {
  if (Date.now() - noticed > 1000) notice("");
}

/** The heading of a view: focused when the view opens, so that readers begin there. */
export function heading(text) {
  return el("h1", { tabindex: "-1", text });
}

/** A button that can not be pressed twice while its work is under way. */
export function button(text, work, attributes = {}) {
  const made = el("button", { type: "button", text, ...attributes });
  made.addEventListener("click", async () => {
    if (made.getAttribute("aria-busy") === "true") return;
    made.setAttribute("aria-busy", "true");
    try {
      await work();
    } catch (error) {
      if (!error.handled) notice(error.message);
    } finally {
      made.removeAttribute("aria-busy");
    }
  });
  return made;
}

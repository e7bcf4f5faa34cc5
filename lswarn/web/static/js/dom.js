// Making elements without markup in strings: whatever comes from the server is text, and stays text.

/** `h("p", {class: "x", onclick: f}, "text", child, null)`; null and false children are left out. */
export function h(tag, attributes = {}, ...children) {
  const [name, space] = tag.startsWith("svg:") ? [tag.slice(4), "http://www.w3.org/2000/svg"] : [tag, "http://www.w3.org/1999/xhtml"];
  const element = document.createElementNS(space, name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "style") for (const [property, worth] of Object.entries(value)) element.style.setProperty(property, worth);
    else if (key === "value" || key === "checked") element[key] = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const byId = (id) => document.getElementById(id);

/** Draw anew without losing the keyboard's place: what was focused is focused again, by its id or its key. */
export function redraw(parent, ...children) {
  const held = parent.contains(document.activeElement) ? document.activeElement : null;
  const key = held && (held.id || held.dataset.key);
  const scroll = parent.scrollTop;
  parent.replaceChildren(...children.flat().filter(Boolean));
  parent.scrollTop = scroll;
  if (!key) return;
  const again = [...parent.querySelectorAll("[id], [data-key]")].find((each) => (each.id || each.dataset.key) === key);
  if (again) again.focus({ preventScroll: true });
}

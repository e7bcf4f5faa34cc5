// Finding a town or road by its name: a combobox, as the ARIA patterns describe it.

import { get } from "./api.js";
import { byId, h } from "./dom.js";
import { number, t } from "./i18n.js";
import { frame } from "./map.js";
import { set, state } from "./state.js";

const PAUSE_MS = 180;
let items = [];
let at = -1;
let timer = null;
let running = null;

export function startSearch() {
  const field = byId("search");
  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(ask, PAUSE_MS);
  });
  field.addEventListener("keydown", onKey);
  field.addEventListener("focus", () => items.length && open(true));
  field.addEventListener("blur", () => setTimeout(() => open(false), 150));
  addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.target.closest("input, textarea, select, dialog")) {
      event.preventDefault();
      field.focus();
    }
  });
}

async function ask() {
  const q = byId("search").value.trim();
  running?.abort();
  if (q.length < 2 || !state.region) return show([]);
  running = new AbortController();
  try {
    const found = await get("/api/search", { region: state.region, q, limit: 8 }, running.signal);
    show(found, found.length ? null : t("search.none", { q }));
  } catch (error) {
    if (error.name !== "AbortError") show([], t("search.failed", { why: error.message }));
  }
}

function show(found, instead = null) {
  items = found;
  at = -1;
  const list = byId("found");
  if (instead) list.replaceChildren(h("li", { class: "soft", role: "option", "aria-disabled": "true" }, instead));
  else {
    list.replaceChildren(...items.map((item, i) => h("li", { role: "option", id: `found-${i}`, "aria-selected": "false", onmousedown: (event) => { event.preventDefault(); choose(i); } },
      h("b", {}, item.kind === "road" && item.ref ? `${item.ref} · ${item.name}` : item.name),
      h("small", {}, t(`kind.${item.kind}`), item.population ? ` · ${number(item.population)}` : ""))));
  }
  open(Boolean(instead || items.length));
}

function open(whether) {
  byId("found").hidden = !whether;
  byId("search").setAttribute("aria-expanded", String(whether));
  if (!whether) byId("search").removeAttribute("aria-activedescendant");
}

function onKey(event) {
  if (event.key === "Escape") return open(false);
  if (event.key === "Enter") {
    if (items.length) choose(Math.max(at, 0));
    else ask();
    return undefined;
  }
  if (!["ArrowDown", "ArrowUp"].includes(event.key) || !items.length) return undefined;
  event.preventDefault();
  open(true);
  at = (at + (event.key === "ArrowDown" ? 1 : items.length + (at < 0 ? 0 : -1))) % items.length;
  [...byId("found").children].forEach((each, i) => each.setAttribute("aria-selected", String(i === at)));
  byId("search").setAttribute("aria-activedescendant", `found-${at}`);
  return undefined;
}

function choose(i) {
  const item = items[i];
  byId("search").value = item.name || item.ref;
  open(false);
  frame(item.bbox);
  set({ place: [item.lon, item.lat] });
}

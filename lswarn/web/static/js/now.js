// The situation in words: which areas, which towns, which roads, since when. What the map shows, for those who do not see it.

import { byId, h, redraw } from "./dom.js";
import { date, km, percent, t } from "./i18n.js";
import { frame } from "./map.js";
import { boxOf } from "./shapes.js";
import { isKept, newestDate, on, set, shownDate, shownDay, state } from "./state.js";

const MANY = 12;
const whole = { road: false, settlement: false };

export function startNow() {
  on(["areas", "exposure", "days", "day", "lang", "trouble"], draw);
  draw();
}

/** How many live in a zone: shares of people are rounded, and some part of a town is never nobody. */
export const people = (n) => (n === null ? t("now.people.unknown") : n < 1 ? t("now.people.few") : t("now.people", { n: Math.round(n) }));

/** A small sign of an alert level, with its word. */
export function levelPill(level, word = t(`level.${level}`)) {
  return h("span", { class: `pill level-${level}` }, word);
}

function draw() {
  redraw(byId("now"), areas(), list("settlement"), list("road"));
}

function areas() {
  const day = shownDay();
  const rank = ({ properties: area }) => (area.state === "none" ? 0 : area.state === "unknown" ? 5 : 10 + 10 * area.level + (area.state === "open" ? 5 : 0));
  const all = [...(state.areas?.features || [])].sort((a, b) => rank(b) - rank(a) || a.properties.name.localeCompare(b.properties.name));
  const asOf = day && newestDate() && (!day.run || day.kind === "outlook") ? h("p", { class: "soft" }, t("now.asof", { day: date(newestDate()) })) : null;
  return h("section", {}, h("h2", {}, t("now.title")), asOf,
    state.areas ? h("ul", { class: "areas" }, all.map(areaItem)) : h("p", { class: "soft" }, t(state.trouble ? "now.unknown" : "loading")));
}

function areaItem(feature) {
  const area = feature.properties;
  const alerting = area.level > 0 && area.state !== "none";
  const pills = [];
  if (alerting) pills.push(levelPill(area.level));
  if (area.state === "unknown") pills.push(h("span", { class: "pill unknown", title: t("state.unknown.means") }, t("state.unknown")));
  if (area.state === "easing") pills.push(h("span", { class: "pill easing", title: t("state.easing.means") }, t("state.easing")));
  if (!pills.length) pills.push(h("span", { class: "soft" }, t("state.none")));
  return h("li", {},
    h("button", { type: "button", class: `row ${alerting ? `edge-${area.level}` : ""}`, "data-key": `area ${area.area_id ?? area.name}`, onclick: () => goTo(area, feature) },
      h("span", { class: "grow" }, h("b", {}, area.name), alerting && area.opened_on ? h("small", {}, t("now.since", { day: date(area.opened_on, "short") })) : null),
      pills));
}

function goTo(area, feature) {
  frame(boxOf(feature.geometry));
  if (area.alert_id) set({ alert: area.alert_id, tab: "alerts" });
}

function list(kind) {
  const title = h("h2", {}, t(`now.${kind}s`));
  const day = shownDay();
  const unknown = !isKept() || day.run.status === "unknown";
  if (state.exposure === null) return h("section", {}, title, h("p", { class: "soft" }, t(state.trouble || (state.asked === state.region && unknown) ? "now.unknown" : "loading")));
  const items = gather(state.exposure[kind].features, kind);
  if (!items.length) {
    const sure = day?.run?.status === "complete";
    return h("section", {}, title, h("p", { class: sure ? "soft" : "warned" }, t(sure ? "now.none" : unknown ? "now.unknown" : day.kind === "outlook" ? "now.none.outlook" : "now.none.unknown")));
  }
  const shown = whole[kind] ? items : items.slice(0, MANY);
  const more = items.length - shown.length;
  const { numberMatched: total, numberReturned: n } = state.exposure[kind];
  return h("section", {}, title,
    h("ul", { class: "assets" }, shown.map((item) => assetItem(item, kind))),
    total > n && h("p", { class: "warned" }, t("now.cut", { n, total })),
    more > 0 && h("button", { type: "button", class: "plain", "data-key": `more ${kind}`, onclick: () => { whole[kind] = true; draw(); } }, t("now.more", { n: more })));
}

/** Parts of one road or settlement together: the worst class, what is measured summed up; unknown stays unknown. */
function gather(features, kind) {
  const found = new Map();
  for (const { properties: part, geometry } of features) {
    const key = kind === "road" ? `${part.name} ${part.ref}` : part.asset_id ?? part.name;
    const item = found.get(key) || { key, name: part.name, ref: part.ref, class: 0, length: 0, people: 0, boxes: [], very: 0, probability: 0 };
    item.class = Math.max(item.class, part.class);
    item.probability = Math.max(item.probability, part.probability_max ?? 0);
    if (kind === "road") {
      item.length += part.length_m;
      if (part.class === 5) item.very += part.length_m;
    } else item.people = item.people === null || part.people === null ? null : item.people + part.people;
    item.boxes.push(boxOf(geometry));
    found.set(key, item);
  }
  const size = (item) => (kind === "road" ? item.length : item.people ?? Infinity);
  return [...found.values()].sort((a, b) => b.class - a.class || size(b) - size(a));
}

function assetItem(item, kind) {
  const box = item.boxes.reduce((all, each) => [Math.min(all[0], each[0]), Math.min(all[1], each[1]), Math.max(all[2], each[2]), Math.max(all[3], each[3])]);
  const measure = kind === "road" ? km(item.length) : people(item.people);
  return h("li", {},
    h("button", { type: "button", class: "row", title: t("now.go"), "data-key": `${kind} ${item.key}`, onclick: () => frame(box) },
      h("i", { class: `swatch class-${item.class}`, title: t(`class.${item.class}`) }),
      h("span", { class: "grow" }, h("b", {}, item.ref || item.name || t("not.told")), item.ref && item.name ? h("small", {}, item.name) : null),
      h("span", { class: "measure" }, measure, h("small", {}, `${t(`class.${item.class}`)} · ${t("now.upto", { p: percent(item.probability) })}`))));
}

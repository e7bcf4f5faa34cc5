// Words, numbers and days in the language that is chosen. Days are UTC days, as the providers of rain count them.

import en from "../lang/en.js";
import es from "../lang/es.js";
import { state } from "./state.js";

const words = { en, es };
const kept = new Map();
const made = (key, make) => kept.get(`${state.lang} ${key}`) || (kept.set(`${state.lang} ${key}`, make()), made(key, make));

/** A sentence with its {names} filled in; of two forms, `facts.n` chooses. A key without words is shown as it is. */
export function t(key, facts = {}) {
  let found = words[state.lang][key] ?? en[key] ?? key.slice(key.indexOf(".") + 1).replaceAll("_", " ");
  if (typeof found === "object") found = found[made("plural", () => new Intl.PluralRules(state.lang)).select(facts.n)] || found.other;
  return found.replace(/\{(\w+)\}/g, (_, name) => (typeof facts[name] === "number" ? number(facts[name]) : String(facts[name] ?? "")));
}

/** Whether there are words for a key. */
export const has = (key) => key in en;

/** 1234.5 → 1,235 or 1.235; null is `unknown`, never zero. */
export function number(value, digits = 0) {
  if (value === null || value === undefined || Number.isNaN(value)) return t("unknown");
  return made(`number ${digits}`, () => new Intl.NumberFormat(state.lang, { maximumFractionDigits: digits })).format(value);
}

export const mm = (value) => (value === null || value === undefined ? t("unknown") : `${number(value, value < 10 ? 1 : 0)} mm`);
export const percent = (share) => (share === null || share === undefined ? t("unknown") : `${number(share * 100, share < 0.1 ? 1 : 0)} %`);
export const km = (metres) => (metres === null || metres === undefined ? t("unknown") : metres < 950 ? `${number(Math.round(metres / 10) * 10)} m` : `${number(metres / 1000, 1)} km`);
export const area = (m2) => (m2 === null || m2 === undefined ? t("unknown") : m2 < 1e6 ? `${number(m2 / 1e4, 1)} ha` : `${number(m2 / 1e6, 1)} km²`);

const asDate = (day) => new Date(`${day}T00:00:00Z`);

/** An ISO day for people: `long` Monday, 23 March 2026; `short` 23 Mar; `full` 23 March 2026. */
export function date(day, how = "full") {
  if (!day) return t("unknown");
  const forms = {
    long: { weekday: "long", day: "numeric", month: "long", year: "numeric" },
    full: { day: "numeric", month: "long", year: "numeric" },
    medium: { weekday: "short", day: "numeric", month: "short" },
    short: { day: "numeric", month: "short" },
    weekday: { weekday: "short" },
    month: { month: "short" },
    day: { day: "numeric" },
  };
  const where = state.lang === "en" ? "en-GB" : state.lang;
  return made(`date ${how}`, () => new Intl.DateTimeFormat(where, { ...forms[how], timeZone: "UTC" })).format(asDate(day));
}

/** An instant for people, in the time of the reader's place, and says which time that is. */
export function instant(at) {
  if (!at) return t("unknown");
  const where = state.lang === "en" ? "en-GB" : state.lang;
  const form = { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", timeZoneName: "short" };
  return made("instant", () => new Intl.DateTimeFormat(where, form)).format(new Date(at));
}

/** 9 h; 3 d. */
export function age(hours) {
  const [value, unit] = hours < 72 ? [Math.round(hours), "hour"] : [Math.round(hours / 24), "day"];
  return made(unit, () => new Intl.NumberFormat(state.lang, { style: "unit", unit, unitDisplay: unit === "hour" ? "short" : "long" })).format(value);
}

/** Put the words into a page or a part of it. */
export function translate(root = document) {
  document.documentElement.lang = state.lang;
  for (const each of root.querySelectorAll("[data-i18n]")) each.textContent = t(each.dataset.i18n);
  for (const each of root.querySelectorAll("[data-i18n-label]")) {
    each.setAttribute("aria-label", t(each.dataset.i18nLabel));
    if (each.tagName === "BUTTON") each.title = t(each.dataset.i18nLabel);
  }
  for (const each of root.querySelectorAll("[data-i18n-placeholder]")) each.placeholder = t(each.dataset.i18nPlaceholder);
}

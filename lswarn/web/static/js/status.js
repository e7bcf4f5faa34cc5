// How sure: the grade and age of the rain, what is missing, and whether the page can be trusted just now. Always visible.

import { byId, h, redraw } from "./dom.js";
import { age, date, instant, t } from "./i18n.js";
import { GRADE } from "./palette.js";
import { newestDate, on, set, shownDate, shownDay, state } from "./state.js";
import { openToken } from "./token.js";

/** Hours after the end of the newest day from which on the page says that nobody knows what fell since. */
const STALE_H = 48;

export function startStatus() {
  on(["days", "day", "lang", "regions", "region"], drawStatus);
  on(["days", "day", "lang", "trouble", "regions", "region", "unfound", "holes", "seenAt", "rain"], drawBanners);
  drawBanners();
}

function drawStatus() {
  const shown = shownDay();
  const run = shown?.run;
  const children = [];
  const region = state.regions.find((each) => each.name === state.region);
  if (region?.made) children.push(h("span", { class: "made", title: region.made }, t("made.badge")));
  if (!shownDate()) children.push(h("span", { class: "grade none" }, state.regions.length ? t("status.nothing") : t("loading")));
  else if (!run) children.push(h("b", {}, date(shownDate(), "medium")), h("span", { class: "grade none" }, t("unknown")));
  else {
    children.push(
      h("b", { class: "when" }, date(shown.day, "medium")),
      h("span", { class: "grade", style: { "--grade": GRADE[run.grade] }, title: t(`grade.${run.grade}`) }, t("status.grade", { grade: run.grade })),
      shown.kind === "outlook" && h("span", { class: "grade ahead" }, t("status.outlook", { lead: run.lead_days })),
      h("span", { class: "soft why" }, t(`grade.${run.grade}`)),
      h("span", { class: "soft" }, run.rain_age_h === null || run.rain_age_h === undefined ? t("status.age.unknown") : t("status.age", { age: age(run.rain_age_h) })),
      h("span", { class: "soft published" }, t("status.published", { at: instant(run.published_at) })),
    );
  }
  redraw(byId("status"), children);
  byId("title").textContent = region?.title || "lswarn";
  document.title = region ? `${shownDate() ? `${date(shownDate(), "short")} · ` : ""}${region.title}` : "lswarn";
}

function drawBanners() {
  const told = [];
  const tell = (kind, text, ...more) => told.push(h("p", { class: `banner ${kind}` }, h("span", {}, text), ...more));
  const { trouble } = state;
  if (trouble?.status === 401 || trouble?.status === 403) {
    tell("bad", t("banner.token"), " ", h("button", { type: "button", class: "plain", "data-key": "enter", onclick: () => openToken() }, t("banner.token.enter")));
  } else if (trouble) {
    const why = trouble.status === 0 || trouble.status === undefined ? t("banner.offline") : trouble.message;
    tell("bad", state.seenAt ? t("banner.down", { why, at: instant(new Date(state.seenAt)) }) : t("banner.down.first", { why }));
  }
  if (state.unfound) tell("warn", t("banner.noregion", { name: state.unfound }));
  if (state.loaded && !state.regions.length && !trouble) tell("warn", t("banner.noregions"));
  if (state.holes) tell("bad", t("map.tiles"));
  const shown = shownDay();
  const run = shown?.run;
  const day = shownDate();
  if (day && state.days.length && !run) tell("unknown", t("banner.norun", { day: date(day) }));
  if (run && !run.kept) tell("unknown", t("banner.pruned", { day: date(day) }));
  if (run) {
    const missing = run.missing || [];
    if (missing.length) {
      const days = missing.map((each) => date(each, "short")).join(", ");
      const bound = run.status === "unknown" ? "" : ` ${t("banner.missing.bound")}`;
      tell("unknown", `${t("banner.missing", { n: missing.length, days })}${bound}`);
    }
    if (run.status === "unknown") tell("unknown", t("banner.unknown"));
    else if (shown.kind === "outlook") tell("ahead", t("banner.outlook", { day: date(day) }));
    else if (run.status === "modelled") tell("unknown", t("banner.modelled"));
  }
  const newest = newestDate();
  const region = state.regions.find((each) => each.name === state.region);
  const since = newest ? (Date.now() - Date.parse(newest)) / 3600000 - 24 : 0;
  const aged = newest && since > STALE_H;
  // A made-up region has its own calendar; its rain's age stands in the line above all the same.
  if (aged && !region?.made) tell("unknown", t("banner.stale", { day: date(newest), age: age(since) }));
  if (newest && day < newest) {
    tell("soft", t("banner.old", { day: date(newest) }), " ", h("button", { type: "button", class: "plain", "data-key": "newest", onclick: () => set({ day: "newest" }) }, t("days.newest")));
  }
  redraw(byId("banners"), told);
}

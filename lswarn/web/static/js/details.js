// What is known of one place: a click, Enter over the map, or a search.

import { ApiError, get } from "./api.js";
import { byId, h, redraw } from "./dom.js";
import { area, date, km, mm, number, percent, t } from "./i18n.js";
import { levelPill, people } from "./now.js";
import { on, set, shownDate, state } from "./state.js";

let asked = 0;

export function startDetails() {
  on(["place", "day", "days", "lang"], ask);
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && state.place && !document.querySelector("dialog[open]")) close();
  });
}

function close() {
  set({ place: null });
  document.querySelector("#map canvas")?.focus({ preventScroll: true });
}

async function ask() {
  const panel = byId("details");
  const mine = ++asked;
  if (!state.place || !shownDate()) {
    panel.hidden = true;
    return;
  }
  const [lon, lat] = state.place;
  const opened = panel.hidden;
  panel.hidden = false;
  if (opened) draw(h("p", { class: "soft" }, t("details.asking")));
  if (opened) panel.focus({ preventScroll: true });
  try {
    const told = await get("/api/where", { region: state.region, day: shownDate(), lon: lon.toFixed(6), lat: lat.toFixed(6) });
    if (mine === asked) draw(facts(told));
  } catch (error) {
    if (mine !== asked) return;
    const run = state.days.find((each) => each.day === shownDate())?.run;
    const gone = error instanceof ApiError && error.status === 404;
    const why = gone && !run ? t("banner.norun", { day: date(shownDate()) }) : gone ? t("details.outside") : t("details.failed", { why: error.message });
    draw(h("p", { class: "warned" }, why));
  }
}

function draw(...content) {
  const [lon, lat] = state.place;
  redraw(byId("details"),
    h("header", {},
      h("h2", { id: "details-title" }, t("details.title")),
      h("small", {}, `${number(lat, 4)}, ${number(lon, 4)} · ${date(shownDate(), "short")}`),
      h("button", { type: "button", class: "icon", "data-key": "close", "aria-label": t("close"), title: t("close"), onclick: close }, "×")),
    ...content);
}

function facts(told) {
  const rows = [];
  const row = (key, ...value) => rows.push(h("dt", {}, t(key)), h("dd", {}, ...value));
  const found = told.point_class ?? 0;
  row("details.class", h("i", { class: `swatch class-${found}` }), " ", found ? t(`class.${found}`) : t("details.class.unknown"));
  row("details.rain", told.rain_mm !== null && told.lower_bound ? t("details.bound", { mm: mm(told.rain_mm) }) : mm(told.rain_mm));
  for (const rising of [...told.rising].reverse()) {
    const [value, more] = risingWords(rising);
    row(rising.warned_class === 5 ? "details.critical" : "details.critical.high", value, more && h("small", {}, more));
  }
  const { zone } = told;
  row("details.zone", zone ? t("details.zone.is", { class: t(`class.${zone.zone_class}`), area: area(zone.area_m2), p: percent(zone.probability_max) }) : t(found ? "details.zone.none" : "details.zone.none.unknown"));
  const there = told.area;
  if (there) {
    row("details.area", there.name, " ",
      there.level > 0 && there.state !== "none" ? levelPill(there.level) : null,
      there.state !== "open" ? h("span", { class: `pill ${there.state === "unknown" ? "unknown" : "easing"}` }, t(`state.${there.state}`)) : null,
      there.alert_id ? h("button", { type: "button", class: "plain", "data-key": "alert", onclick: () => set({ alert: there.alert_id, tab: "alerts" }) }, t("alerts.history")) : null);
  }
  const { near } = told;
  const parts = [h("dl", { class: "facts" }, rows), h("h3", {}, t("details.near"))];
  if (!near.length) parts.push(h("p", { class: "soft" }, t("details.near.none")));
  else parts.push(h("ul", { class: "near" }, near.map((each) => h("li", {},
    h("i", { class: `swatch class-${each.exposed_class}` }),
    h("span", { class: "grow" }, [each.ref, each.name].filter(Boolean).join(" · ") || t("not.told")),
    h("small", {}, [km(each.distance_m), each.kind === "settlement" ? people(each.people) : null].filter(Boolean).join(" · "))))));
  return parts;
}

/** What a critical rainfall means: how much, and how much of it is still to come. */
function risingWords({ status, critical_mm: critical, to_go_mm: left }) {
  if (status === "never" || status === "beyond_model") return [t(`rising.${status}`), null];
  if (status === "unknown" || critical === null) return [t("unknown"), null];
  if (status === "reached") return [mm(critical), t("details.togo.reached")];
  return [mm(critical), `${t("details.togo")}: ${t(status === "at_most" ? "details.most" : "details.exactly", { mm: mm(left) })}`];
}

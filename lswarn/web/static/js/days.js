// The slider of days: a range input laid over a row of cells, one a day, so that keyboard and screen readers have it too.

import { byId, h } from "./dom.js";
import { date, t } from "./i18n.js";
import { GRADE } from "./palette.js";
import { newestDate, on, set, shownDate, state } from "./state.js";

export function startDays() {
  on(["days", "day", "lang"], draw);
  byId("day").addEventListener("input", (event) => go(Number(event.target.value)));
  byId("earlier").addEventListener("click", () => step(-1));
  byId("later").addEventListener("click", () => step(1));
  byId("newest").addEventListener("click", () => set({ day: "newest" }));
  new ResizeObserver(() => scrollTo()).observe(byId("strip"));
}

const index = () => state.days.findIndex((each) => each.day === shownDate());

function go(at) {
  const chosen = state.days[at];
  if (chosen) set({ day: chosen.day === newestDate() ? "newest" : chosen.day });
}

function step(by) {
  const at = index();
  go(at < 0 ? state.days.length - 1 : Math.min(Math.max(at + by, 0), state.days.length - 1));
}

function draw() {
  const { days } = state;
  const at = index();
  const slider = byId("day");
  byId("strip").style.setProperty("--days", Math.max(days.length, 1));
  byId("strip").classList.toggle("off", at < 0);
  slider.disabled = !days.length;
  slider.max = Math.max(days.length - 1, 0);
  slider.value = at < 0 ? days.length - 1 : at;
  const chosen = days[at];
  slider.setAttribute("aria-valuetext", chosen ? spoken(chosen) : shownDate() ? `${date(shownDate(), "long")}: ${t("days.none")}` : t("unknown"));
  byId("earlier").disabled = at === 0 || !days.length;
  byId("later").disabled = at === days.length - 1 || !days.length;
  byId("newest").disabled = shownDate() === newestDate();
  byId("cells").replaceChildren(
    ...days.map((each, i) =>
      h("div", { class: `cell ${each.run ? "" : "none"} ${each.kind === "outlook" ? "ahead" : ""} ${i === at ? "on" : ""}`, title: spoken(each) },
        h("span", { class: "name" }, i === 0 || each.day.endsWith("-01") ? date(each.day, "month") : date(each.day, "weekday")),
        h("b", {}, String(Number(each.day.slice(8)))),
        h("i", { style: each.run ? { "--grade": GRADE[each.run.grade] } : null }, each.run ? each.run.grade : "?"),
      ),
    ),
  );
  scrollTo();
}

function scrollTo() {
  const strip = byId("strip");
  const cell = strip.querySelector(".cell.on");
  if (cell) strip.scrollLeft = cell.offsetLeft - (strip.clientWidth - cell.offsetWidth) / 2;
}

function spoken({ day, kind, run }) {
  if (!run) return `${date(day, "long")}: ${t("days.none")}`;
  return t(kind === "outlook" ? "days.value.outlook" : "days.value", { day: date(day, "long"), grade: run.grade });
}

// From the server's answers to what the page shows. It asks again every minute, and says so when it cannot be told.

import { ApiError, get } from "./api.js";
import { on, set, shownDate, state } from "./state.js";

const EVERY_S = 60;
const PAGE = 1000;
const MOST_DAYS = 60;
const DAY_MS = 86400000;

let timer = null;
let waits = 2;

/** Ask for the regions and choose one; false where there is none to show. */
export async function loadRegions() {
  const { items } = await get("/api/regions");
  const wanted = items.find((each) => each.name === state.region);
  const unfound = state.region && !wanted ? state.region : null;
  set({ regions: items, region: (wanted || items[0])?.name ?? null, unfound });
  return items.length > 0;
}

/** Ask for everything of the region and the day that are shown. */
export async function loadAll() {
  const region = state.region;
  try {
    const runs = await get("/api/runs", { region, limit: 400 });
    if (region !== state.region) return;
    set({ days: daysOf(runs.items), asked: region });
    await Promise.all([loadDay(), loadAlerts()]);
    if (state.trouble === null) set({ seenAt: Date.now() });
    waits = 2;
  } catch (error) {
    fail(error);
  }
  again();
}

/** What is known of one day. */
export async function loadDay() {
  const [region, day] = [state.region, shownDate()];
  if (state.asked !== region) return;
  const there = state.days.find((each) => each.day === day)?.run;
  const run = there?.kept ? there : null;
  try {
    // A day without a run has no findings: there is nothing to ask for, and null says that nothing is known.
    const none = Promise.resolve(null);
    const [areas, roads, settlements, rain] = await Promise.all([
      get("/api/areas", { region, day: there ? day : "newest" }),
      run ? get("/api/exposure", { region, day, asset: "road", limit: PAGE }) : none,
      run ? get("/api/exposure", { region, day, asset: "settlement", limit: PAGE }) : none,
      run ? get("/api/rain", { region, day }) : none,
    ]);
    if (region !== state.region || day !== shownDate()) return;
    set({ areas, exposure: roads && { road: roads, settlement: settlements }, rain, trouble: null });
  } catch (error) {
    if (region === state.region && day === shownDate()) {
      set({ exposure: null, rain: null });
      fail(error);
    }
  }
}

/** Alerts, those in force first, and what was said of the rain itself. */
export async function loadAlerts(limit = 100) {
  const region = state.region;
  try {
    const [alerts, messages] = await Promise.all([
      get("/api/alerts", { region, limit }),
      get("/api/messages", { region, limit: 100 }),
    ]);
    if (region !== state.region) return;
    const open = alerts.items.filter((each) => each.state !== "closed");
    const past = alerts.items.filter((each) => each.state === "closed");
    const rain = messages.items.filter((each) => each.alert_id === null);
    set({ alerts: { open, past, rain, more: alerts.total > alerts.items.length, limit }, alertsTrouble: null });
  } catch (error) {
    if (region === state.region) set({ alertsTrouble: error });
  }
}

function fail(error) {
  if (!(error instanceof ApiError)) console.error(error);
  waits = Math.min(waits * 2, EVERY_S);
  set({ trouble: error });
}

/** Ask again: soon after a failure, in a minute otherwise, and at once when somebody comes back to the page. */
function again() {
  clearTimeout(timer);
  timer = setTimeout(() => (document.hidden ? again() : loadAll()), 1000 * (state.trouble ? Math.max(waits, state.trouble.retryAfter || 0) : EVERY_S));
}

/** Begin to keep up with the server. */
export function keepUp() {
  on(["day"], loadDay);
  addEventListener("online", loadAll);
  document.addEventListener("visibilitychange", () => document.hidden || loadAll());
}

/** One entry a day without gaps, oldest first: its observed run, else its outlook if it lies ahead, else none. */
export function daysOf(runs) {
  const observed = new Map();
  const ahead = new Map();
  for (const run of runs) {
    if (run.superseded || run.kind === "hindcast") continue;
    const into = run.kind === "outlook" ? ahead : observed;
    if (!into.has(run.valid_day)) into.set(run.valid_day, run);
  }
  const known = [...observed.keys()].sort();
  const newest = known[known.length - 1] || "";
  const coming = [...ahead.keys()].filter((day) => day > newest).sort();
  const all = [...known, ...coming];
  if (!all.length) return [];
  const last = Date.parse(all[all.length - 1]);
  const days = [];
  for (let at = Math.max(Date.parse(all[0]), last - (MOST_DAYS - 1) * DAY_MS); at <= last; at += DAY_MS) {
    const day = new Date(at).toISOString().slice(0, 10);
    const kind = day > newest ? "outlook" : "observed";
    days.push({ day, kind, run: (kind === "outlook" ? ahead : observed).get(day) || null });
  }
  return days;
}

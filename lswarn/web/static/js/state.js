// What the page is showing, and who wants to know when that changes.
// A part of the page listens to the keys it draws from, and never to another part.

const params = new URLSearchParams(location.search);
const listeners = [];
let waiting = null;

const pick = (value, allowed, otherwise) => (allowed.includes(value) ? value : otherwise);

export const state = {
  region: params.get("region"),
  day: dayOf(params.get("day")),
  lang: pick(params.get("lang") || localStorage.getItem("lang") || navigator.language.slice(0, 2), ["en", "es"], "en"),
  theme: pick(localStorage.getItem("theme"), ["light", "dark"], "auto"),
  view: viewOf(params),
  surface: pick(localStorage.getItem("surface"), ["classes", "rain", "critical-very-high", "critical-high", "none"], "classes"),
  hidden: new Set(JSON.parse(localStorage.getItem("hidden") || '["exceedance"]')),
  tab: "now",
  alert: null, // id of the alert that is open in the panel
  place: null, // [lon, lat] that was asked about
  regions: [],
  asked: null, // region whose days are known
  days: [], // [{day, run | null, kind}] without gaps, oldest first; days ahead last
  areas: null, // GeoJSON, or null while unknown
  exposure: null, // {road: [...], settlement: [...]}
  rain: null,
  alerts: null,
  mapless: null, // why no map is drawn: browser or server
  trouble: null, // why the newest answer could not be had
};

/** A day of an address; `newest` where it is none. */
function dayOf(written) {
  const at = /^\d{4}-\d{2}-\d{2}$/.test(written) ? new Date(`${written}T00:00:00Z`) : null;
  return at && !Number.isNaN(at.valueOf()) && at.toISOString().startsWith(written) ? written : "newest";
}

function viewOf(from) {
  const [lon, lat, z] = ["lon", "lat", "z"].map((name) => parseFloat(from.get(name)));
  return Math.abs(lon) <= 180 && Math.abs(lat) <= 85 ? { center: [lon, lat], zoom: Math.min(Math.max(z || 11, 0), 20) } : null;
}

/** Change something; whoever listens to one of the keys is told once, after all changes of this turn. */
export function set(patch) {
  const changed = Object.keys(patch).filter((key) => state[key] !== patch[key]);
  Object.assign(state, patch);
  if (!changed.length) return;
  if (waiting === null) {
    waiting = new Set();
    queueMicrotask(() => {
      const keys = waiting;
      waiting = null;
      for (const [wanted, tell] of listeners) if (wanted.some((key) => keys.has(key))) tell();
    });
  }
  changed.forEach((key) => waiting.add(key));
}

/** Be told when one of these keys changes. */
export function on(keys, tell) {
  listeners.push([keys, tell]);
}

/** The entry of `days` that is shown, or null before the days are known. */
export function shownDay() {
  return state.days.find((each) => each.day === shownDate()) || null;
}

/** Whether what was found on the day that is shown is still kept; a run outlives its findings. */
export const isKept = () => Boolean(shownDay()?.run?.kept);

/** The day that is shown as an ISO date; `newest` is resolved. Null where nothing was ever published. */
export function shownDate() {
  return state.day === "newest" ? newestDate() : state.day;
}

/** The newest day that was observed, or null. */
export function newestDate() {
  const observed = state.days.filter((each) => each.kind === "observed" && each.run);
  return observed.length ? observed[observed.length - 1].day : null;
}

/** Keep the address of the page in step, so that it can be sent to somebody. A token is never part of it. */
export function writeAddress() {
  const query = new URLSearchParams();
  if (state.region) query.set("region", state.region);
  query.set("day", state.day);
  query.set("lang", state.lang);
  if (state.view) {
    query.set("lon", state.view.center[0].toFixed(4));
    query.set("lat", state.view.center[1].toFixed(4));
    query.set("z", state.view.zoom.toFixed(1));
  }
  history.replaceState(null, "", `?${query}`);
}

on(["region", "day", "lang", "view"], writeAddress);
on(["lang"], () => localStorage.setItem("lang", state.lang));
on(["theme"], () => localStorage.setItem("theme", state.theme));
on(["surface"], () => localStorage.setItem("surface", state.surface));
on(["hidden"], () => localStorage.setItem("hidden", JSON.stringify([...state.hidden])));

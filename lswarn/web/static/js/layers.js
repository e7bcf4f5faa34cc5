// Which layers are shown, and what their colours mean.

import { get } from "./api.js";
import { byId, h, redraw } from "./dom.js";
import { number, t } from "./i18n.js";
import { OVERLAYS } from "./map.js";
import { on, set, state } from "./state.js";

const SURFACES = ["classes", "rain", "critical-very-high", "critical-high", "none"];
let colours = null;

export async function startLayers() {
  on(["surface", "hidden", "lang"], draw);
  draw();
  try {
    colours = await get("/tiles/legend.json");
    const { style } = document.documentElement;
    style.setProperty("--unknown", plain(colours.unknown.ground));
    style.setProperty("--unknown-stripe", plain(colours.unknown.stripe));
    draw();
  } catch (error) {
    console.warn(error);
  }
}

const plain = (colour) => (/^#[0-9a-f]{6}$/i.test(colour) ? colour : "#888888");

function draw() {
  const choice = (name) => h("label", { class: "choice" },
    h("input", { type: "radio", name: "surface", id: `surface-${name}`, checked: state.surface === name, onchange: () => choose(name) }), t(`layer.${name}`));
  const overlay = (name) => h("label", { class: "choice" },
    h("input", { type: "checkbox", id: `overlay-${name}`, checked: !state.hidden.has(name), onchange: (event) => toggle(name, event.target.checked) }),
    h("i", { class: `sign sign-${name}` }), t(`layer.${name}`));
  redraw(byId("layers"),
    h("fieldset", {}, h("legend", {}, t("layers.surface")), SURFACES.map(choice)),
    h("fieldset", {}, h("legend", {}, t("layers.over")), OVERLAYS.map(overlay)),
    h("section", { class: "again" }, h("h2", {}, t("legend")), legend()));
  redraw(byId("legend-body"), legend());
}

/** Rain is shown together with where it is above its critical value, and the other grounds without. */
function choose(name) {
  if ((name === "rain") === state.hidden.has("exceedance")) toggle("exceedance", name === "rain");
  set({ surface: name });
}

function toggle(name, shown) {
  const hidden = new Set(state.hidden);
  if (shown) hidden.delete(name);
  else hidden.add(name);
  set({ hidden });
}

function legend() {
  const parts = [];
  const { surface } = state;
  if (surface !== "none") {
    const title = surface === "classes" ? "legend.classes" : surface === "rain" ? "legend.rain" : "legend.critical";
    parts.push(h("p", { class: "soft" }, t(title)));
    const steps = colours?.layers[surface]?.steps || [];
    parts.push(h("ul", { class: "keys" }, [...steps].reverse().map((step) => h("li", {}, h("i", { class: "swatch", style: { background: plain(step.colour) } }), meaning(step, steps)))));
    parts.push(h("ul", { class: "keys" }, h("li", {}, h("i", { class: "swatch class-0" }), t("legend.unknown"))));
  }
  const over = [["exposed_roads", "legend.road"], ["exposed_settlements", "legend.settlement"], ["zones", "legend.zone"], ["exceedance", "legend.exceedance"]];
  parts.push(h("ul", { class: "keys" }, over.filter(([name]) => !state.hidden.has(name)).map(([name, key]) => h("li", {}, h("i", { class: `sign sign-${name}` }), t(key)))));
  if (!state.hidden.has("areas")) {
    parts.push(h("ul", { class: "keys" }, [2, 1].map((level) => h("li", {}, h("i", { class: `sign edge edge-${level}` }), `${t(`level.${level}`)}: ${t(`level.${level}.means`)}`))));
  }
  return parts;
}

function meaning(step, steps) {
  if (step.key && `step.${step.key}` in KEYS) return t(KEYS[`step.${step.key}`]);
  if (step.from === null) return t(`step.${step.key}`);
  const next = steps[steps.indexOf(step) + 1];
  return next && next.from !== null ? `${number(step.from)}–${number(next.from)} mm` : `≥ ${number(step.from)} mm`;
}

const KEYS = { "step.very_low": "class.1", "step.low": "class.2", "step.moderate": "class.3", "step.high": "class.4", "step.very_high": "class.5" };

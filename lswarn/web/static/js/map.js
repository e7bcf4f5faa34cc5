// The map. It draws what `state` says, and tells `state` what was clicked.

import { headers } from "./api.js";
import { byId, h } from "./dom.js";
import { t } from "./i18n.js";
import { CLASS, EXPOSED, LEVEL, LEVEL_TEXT, themed } from "./palette.js";
import { labelPoint } from "./shapes.js";
import { isKept, on, set, shownDate, shownDay, state } from "./state.js";

const SURFACES = ["classes", "rain", "critical-high", "critical-very-high"];
const VECTORS = ["zones", "exposed_roads", "exposed_settlements", "roads", "settlements"];
const NOTHING = { type: "FeatureCollection", features: [] };
/** Layers of the map by the switch that shows them. */
const SWITCHED = {
  zones: ["zones-line", "zones-point"],
  exposed_roads: ["exposed_roads-case", "exposed_roads-line", "exposed_roads-point"],
  exposed_settlements: ["exposed_settlements-fill", "exposed_settlements-case", "exposed_settlements-line", "exposed_settlements-point"],
  exceedance: ["exceedance-case", "exceedance-line"],
  areas: ["areas-fill", "areas-unknown", "areas-case", "areas-line", "areas-quiet", "areas-label"],
  base: ["relief", "settlements-fill", "settlements-line", "roads-case", "roads-line", "roads-label", "settlements-label"],
};
export const OVERLAYS = Object.keys(SWITCHED);
/** What a run found: without one there is nothing to ask for. */
const OF_RUN = new Set(["zones", "exposed_roads", "exposed_settlements"]);
/** Sources whose absence hides nothing that is known. */
const ORNAMENT = new Set(["relief"]);

let map = null;
let library = null;
let marker = null;

export const isDark = () => state.theme === "dark" || (state.theme === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);

/** Begin to draw; where the browser cannot, say so and leave the lists to speak. */
export async function startMap() {
  try {
    // Which tiles to ask for is known once the days are.
    const days = new Promise((ready) => {
      const look = () => state.asked === state.region && ready();
      on(["asked"], look);
      look();
    });
    [library] = await Promise.all([import("../vendor/maplibre-gl.mjs"), days]);
    drawn = drawnKey();
    map = build();
  } catch (error) {
    console.warn(error);
    map = null;
    set({ mapless: library ? "browser" : "server" });
    return;
  }
  // Whether all that is to be drawn is drawn, for whoever takes a picture of the page.
  map.on("idle", () => byId("map").setAttribute("data-drawn", ""));
  for (const event of ["dataloading", "movestart"]) map.on(event, () => byId("map").removeAttribute("data-drawn"));
  map.once("style.load", () => {
    paint();
    on(["theme", "surface"], paint);
    on(["surface", "hidden"], switchLayers);
    on(["day", "days"], showDay);
    on(["areas"], showAreas);
    on(["rain"], () => map.getSource("exceedance").setData(exceeding()));
    on(["lang"], showAreas);
    showDay();
    showAreas();
    switchLayers();
    map.getSource("exceedance").setData(exceeding());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  });
  map.on("moveend", () => set({ view: { center: map.getCenter().toArray(), zoom: map.getZoom() } }));
  map.on("click", (event) => set({ place: event.lngLat.toArray() }));
  map.on("error", (event) => {
    if (event.sourceId && !ORNAMENT.has(event.sourceId) && event.error?.name !== "AbortError") set({ holes: true });
    else if (!event.sourceId) console.warn(event.error);
  });
  map.getCanvas().addEventListener("keydown", (event) => {
    if (event.key === "Enter") set({ place: map.getCenter().toArray() });
  });
  on(["place"], showPlace);
  showPlace();
}

function build() {
  const box = region().bbox;
  const made = new library.Map({
    container: "map",
    style: style(),
    ...(state.view || { bounds: box, fitBoundsOptions: { padding: room() } }),
    maxBounds: wider(box),
    maxZoom: 17,
    attributionControl: false,
    dragRotate: false,
    pitchWithRotate: false,
    fadeDuration: 0,
    locale: { "NavigationControl.ZoomIn": t("map.zoomin"), "NavigationControl.ZoomOut": t("map.zoomout"), "Map.Title": t("map.label") },
    transformRequest: (url) => ({ url, headers: new URL(url, location.href).origin === location.origin ? headers() : {} }),
  });
  made.touchZoomRotate.disableRotation();
  made.keyboard.disableRotation();
  made.addControl(new library.NavigationControl({ showCompass: false }), "top-right");
  made.addControl({ onAdd: wholeButton, onRemove: () => {} }, "top-right");
  made.addControl(new library.ScaleControl(), "bottom-left");
  return made;
}

function wholeButton() {
  const button = h("button", { type: "button", class: "whole", title: t("map.whole"), "aria-label": t("map.whole"), onclick: () => frame(region().bbox) });
  on(["lang"], () => [button.title, button.ariaLabel] = [t("map.whole"), t("map.whole")]);
  return h("div", { class: "maplibregl-ctrl maplibregl-ctrl-group" }, button);
}

const region = () => state.regions.find((each) => each.name === state.region);
const wider = ([w, s, e, n]) => [w - (e - w) * 1.5, Math.max(s - (n - s) * 1.5, -85), e + (e - w) * 1.5, Math.min(n + (n - s) * 1.5, 85)];
const at = (path) => `${location.origin}/tiles/${encodeURIComponent(state.region)}/${path}`;
/** Tiles of a run never change: named by it, the browser may keep them. */
const run = () => (shownDay()?.run ? `?run=${shownDay().run.run_id}` : "");
const raster = (layer) => at(`${shownDate() || "newest"}/${layer}/{z}/{x}/{y}.png${run()}`);
const vector = (layer) => at(`${shownDate() || "newest"}/${layer}/{z}/{x}/{y}.pbf${run()}`);

function style() {
  const bounds = region().bbox;
  const sources = {
    box: { type: "geojson", data: boxOf(bounds) },
    relief: { type: "raster", tiles: [at("relief/{z}/{x}/{y}.png")], tileSize: 256, bounds, maxzoom: 14 },
    areas: { type: "geojson", data: NOTHING },
    labels: { type: "geojson", data: NOTHING },
    exceedance: { type: "geojson", data: NOTHING },
  };
  for (const layer of SURFACES) sources[layer] = { type: "raster", tiles: [raster(layer)], tileSize: 256, bounds, maxzoom: 14 };
  for (const layer of VECTORS) sources[layer] = { type: "vector", tiles: [vector(layer)], bounds, maxzoom: 14 };
  const hide = { visibility: "none" };
  const round = { "line-cap": "round", "line-join": "round" };
  const v = (id, type, source, paint, layout = {}, rest = {}) => ({ id, type, source, "source-layer": source, paint, layout, ...rest });
  const g = (id, type, source, paint, layout = {}, rest = {}) => ({ id, type, source, paint, layout, ...rest });
  const big = ["match", ["get", "kind"], ["motorway", "trunk", "primary"], 1, 0];
  const wide = (small, large) => ["interpolate", ["linear"], ["zoom"], 9, small, 15, large];
  const alerting = ["in", ["get", "state"], ["literal", ["open", "easing"]]];
  const level = ["match", ["get", "level"], 1, LEVEL[1], 2, LEVEL[2], LEVEL[0]];
  const high = ["==", ["get", "class"], 4];
  // What is too small for its outline at a zoom comes as a point, that counts several where they are near.
  const isPoint = ["==", ["geometry-type"], "Point"];
  const dot = (color, radius, stroke) => ({ "circle-color": color, "circle-radius": ["+", radius, ["min", ["log2", ["coalesce", ["get", "count"], 1]], 4]], "circle-stroke-color": "#ffffff", "circle-stroke-width": stroke });
  const layers = [
    { id: "land", type: "background", paint: {} },
    // Under all that is known lies the unknown: a tile that does not come leaves hatching, never blank ground.
    g("unknown", "fill", "box", {}),
    ...SURFACES.map((layer) => ({ id: layer, type: "raster", source: layer, paint: { "raster-fade-duration": 0, "raster-resampling": layer === "classes" ? "nearest" : "linear" } })),
    // Hills go over the ground's colours, which they shade.
    { id: "relief", type: "raster", source: "relief", paint: { "raster-fade-duration": 0, "raster-opacity": 0.7 } },
    g("areas-fill", "fill", "areas", { "fill-color": level, "fill-opacity": 0.06 }, {}, { filter: alerting }),
    g("areas-unknown", "fill", "areas", { "fill-opacity": 0.55 }, {}, { filter: ["==", ["get", "state"], "unknown"] }),
    v("settlements-fill", "fill", "settlements", { "fill-opacity": 0.12 }),
    v("settlements-line", "line", "settlements", { "line-width": 0.8, "line-opacity": 0.8 }),
    v("roads-case", "line", "roads", { "line-width": ["interpolate", ["linear"], ["zoom"], 9, 1.6, 15, ["case", ["==", big, 1], 8, 5]], "line-opacity": 0.7 }, round),
    v("roads-line", "line", "roads", { "line-width": ["interpolate", ["linear"], ["zoom"], 9, ["case", ["==", big, 1], 1.2, 0.7], 15, ["case", ["==", big, 1], 5, 2.5]] }, round),
    v("zones-line", "line", "zones", { "line-color": CLASS[5], "line-width": wide(0.5, 2) }, {}, { filter: ["all", ["!", isPoint], ["==", ["get", "class"], 5]] }),
    v("zones-point", "circle", "zones", dot(CLASS[5], 1, 0), {}, { filter: ["all", isPoint, ["==", ["get", "class"], 5]] }),
    g("exceedance-case", "line", "exceedance", { "line-width": 4, "line-opacity": 0.8 }),
    g("exceedance-line", "line", "exceedance", { "line-width": 2, "line-dasharray": [1, 1.4] }),
    v("exposed_settlements-fill", "fill", "exposed_settlements", { "fill-color": EXPOSED, "fill-opacity": 0.35 }),
    v("exposed_settlements-case", "line", "exposed_settlements", { "line-color": "#ffffff", "line-width": wide(2, 5) }),
    v("exposed_settlements-line", "line", "exposed_settlements", { "line-color": EXPOSED, "line-width": wide(1, 2.5) }),
    v("exposed_roads-case", "line", "exposed_roads", { "line-color": "#ffffff", "line-width": ["interpolate", ["linear"], ["zoom"], 9, ["case", high, 2.6, 4.5], 15, ["case", high, 8, 12]] }, round),
    v("exposed_roads-line", "line", "exposed_roads", { "line-color": ["case", high, "#6ea0ea", EXPOSED], "line-width": ["interpolate", ["linear"], ["zoom"], 9, ["case", high, 1.4, 2.8], 15, ["case", high, 4, 7]] }, round),
    v("exposed_settlements-point", "circle", "exposed_settlements", dot(EXPOSED, 3, 1.5), {}, { filter: isPoint }),
    v("exposed_roads-point", "circle", "exposed_roads", dot(["case", high, "#6ea0ea", EXPOSED], 2.5, 1.2), {}, { filter: isPoint }),
    g("areas-case", "line", "areas", { "line-color": "#ffffff", "line-width": 5, "line-opacity": 0.9 }, {}, { filter: alerting }),
    g("areas-quiet", "line", "areas", { "line-width": ["case", ["==", ["get", "state"], "unknown"], 2.4, 1.1], "line-dasharray": [5, 2.5] }, {}, { filter: ["!", alerting] }),
    g("areas-line", "line", "areas", { "line-color": level, "line-width": ["case", ["==", ["get", "state"], "open"], 3.4, 2.2] }, round, { filter: alerting }),
    v("roads-label", "symbol", "roads", { "text-halo-width": 1.6 }, { "symbol-placement": "line", "text-field": ["case", ["!=", ["coalesce", ["get", "ref"], ""], ""], ["get", "ref"], ["coalesce", ["get", "name"], ""]], "text-font": ["sans-serif"], "text-size": 11, "symbol-spacing": 420 }, { minzoom: 10.5 }),
    v("settlements-label", "symbol", "settlements", { "text-halo-width": 1.8 }, { "text-field": ["get", "name"], "text-font": ["sans-serif"], "text-size": wide(12, 15), "text-padding": 8 }),
    g("areas-label", "symbol", "labels", { "text-halo-width": 2.2, "text-color": ["case", alerting, ["match", ["get", "level"], 1, LEVEL_TEXT[1], 2, LEVEL_TEXT[2], LEVEL_TEXT[0]], LEVEL_TEXT[0]] }, { "text-field": ["get", "label"], "text-font": ["sans-serif"], "text-size": ["case", alerting, 14, 12], "text-max-width": 9, "text-allow-overlap": false, "symbol-sort-key": ["-", ["get", "level"]] }),
  ];
  // Nothing is asked for that is not to be seen.
  for (const layer of layers) if (isHidden(layer.id)) layer.layout = { ...layer.layout, ...hide };
  return { version: 8, sources, layers };
}

const boxOf = ([w, s, e, n]) => ({ type: "Feature", properties: {}, geometry: { type: "Polygon", coordinates: [[[w, s], [e, s], [e, n], [w, n], [w, s]]] } });

/** Everything whose colour follows light and dark. */
function paint() {
  const ground = themed(isDark());
  // Where the ground has colours of its own it is bright, by night too.
  const look = themed(isDark() && state.surface === "none");
  if (map.hasImage("hatch")) map.removeImage("hatch");
  map.addImage("hatch", hatching(...ground.hatch), { pixelRatio: 2 });
  const wanted = [
    ["land", "background-color", ground.land],
    ["unknown", "fill-pattern", "hatch"],
    ["areas-unknown", "fill-pattern", "hatch"],
    ["settlements-fill", "fill-color", look.town],
    ["settlements-line", "line-color", look.town],
    ["roads-case", "line-color", look.halo],
    ["roads-line", "line-color", look.road],
    ["exceedance-case", "line-color", "#ffffff"],
    ["exceedance-line", "line-color", "#1b1f24"],
    ["areas-quiet", "line-color", "#1b1f24"],
    ["roads-label", "text-color", look.ink],
    ["roads-label", "text-halo-color", look.halo],
    ["settlements-label", "text-color", look.ink],
    ["settlements-label", "text-halo-color", look.halo],
    ["areas-label", "text-halo-color", "#ffffff"],
  ];
  for (const [layer, property, value] of wanted) map.setPaintProperty(layer, property, value);
}

/** Stripes that tile without a seam. */
function hatching(ground, stripe) {
  const side = 16;
  const canvas = h("canvas", { width: side, height: side });
  const pen = canvas.getContext("2d");
  pen.fillStyle = ground;
  pen.fillRect(0, 0, side, side);
  pen.strokeStyle = stripe;
  pen.lineWidth = 3;
  for (const shift of [-side, 0, side]) {
    pen.beginPath();
    pen.moveTo(shift - 4, side + 4);
    pen.lineTo(shift + side + 4, -4);
    pen.stroke();
  }
  return pen.getImageData(0, 0, side, side);
}

/** Whether a layer of the map is not to be seen now. */
function isHidden(layer) {
  if (SURFACES.includes(layer)) return layer !== state.surface || !isKept();
  if (layer === "unknown") return state.surface === "none";
  const name = Object.keys(SWITCHED).find((each) => SWITCHED[each].includes(layer));
  return name !== undefined && (state.hidden.has(name) || (OF_RUN.has(name) && !isKept()));
}

function switchLayers() {
  for (const layer of map.getStyle().layers) {
    const wanted = isHidden(layer.id) ? "none" : "visible";
    if ((layer.layout?.visibility ?? "visible") !== wanted) map.setLayoutProperty(layer.id, "visibility", wanted);
  }
  // Where the ground has colours of its own, an area has its outline and its name.
  map.setPaintProperty("areas-fill", "fill-opacity", state.surface === "none" ? 0.4 : 0);
  map.setPaintProperty("areas-unknown", "fill-opacity", state.surface === "none" ? 0.7 : 0);
}

let drawn = null;

/** A run that was published anew has other tiles under the same address. */
const drawnKey = () => `${state.region} ${shownDate()} ${shownDay()?.run?.run_id}`;

function showDay() {
  if (drawnKey() !== drawn) {
    drawn = drawnKey();
    set({ holes: false });
    for (const layer of SURFACES) map.getSource(layer).setTiles([raster(layer)]);
    for (const layer of VECTORS) map.getSource(layer).setTiles([vector(layer)]);
  }
  switchLayers();
}

function showAreas() {
  const areas = state.areas || NOTHING;
  map.getSource("areas").setData(areas);
  const features = areas.features.map((area) => {
    const { name, level, state: now } = area.properties;
    const word = now === "unknown" ? t("state.unknown") : level ? `${t(`level.${level}`)}${now === "easing" ? ` · ${t("state.easing")}` : ""}` : "";
    return { type: "Feature", properties: { ...area.properties, label: word ? `${name}\n${word}` : name }, geometry: { type: "Point", coordinates: labelPoint(area.geometry) } };
  });
  map.getSource("labels").setData({ type: "FeatureCollection", features });
}

const exceeding = () => ({ type: "FeatureCollection", features: (state.rain?.features || []).filter(({ properties: cell }) => cell.safety_factor !== null && cell.safety_factor < 1) });

/** What lies over the map on each side, pixels: the legend, where it is open, and the days. */
function room() {
  const small = matchMedia("(max-width: 899px)").matches;
  return small ? { top: 12, left: 12, right: 12, bottom: 78 } : { top: 20, left: byId("legend").open ? 260 : 24, right: 64, bottom: 92 };
}

/** Show a box, [west, south, east, north], beside what lies over the map. */
export function frame(box) {
  if (!map) return;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  map.fitBounds(box, { padding: room(), maxZoom: 14, duration: still ? 0 : 600 });
}

function showPlace() {
  if (marker) marker.remove();
  marker = null;
  if (!state.place) return;
  marker = new library.Marker({ element: h("div", { class: "pin" }), anchor: "bottom" }).setLngLat(state.place).addTo(map);
}

/** Another region: another map, for sources and bounds are all its own. */
export function restartMap() {
  if (!map) return;
  state.view = null;
  drawn = null;
  map.setMaxBounds(null);
  map.setStyle(style(), { diff: false });
  map.once("style.load", () => {
    paint();
    showDay();
    showAreas();
    map.setMaxBounds(wider(region().bbox));
    map.fitBounds(region().bbox, { padding: room(), duration: 0 });
  });
}


// The page put together. Each part listens to the state and draws itself; this only starts them.

import { startAlerts } from "./alerts.js";
import { keepUp, loadAll, loadRegions } from "./data.js";
import { startDays } from "./days.js";
import { startDetails } from "./details.js";
import { byId, h } from "./dom.js";
import { t, translate } from "./i18n.js";
import { startLayers } from "./layers.js";
import { restartMap, startMap } from "./map.js";
import { startNow } from "./now.js";
import { startSearch } from "./search.js";
import { on, set, state } from "./state.js";
import { startStatus } from "./status.js";
import { startToken } from "./token.js";

const TABS = ["now", "alerts", "layers"];
const THEMES = ["auto", "light", "dark"];

function startFrame() {
  const words = () => {
    translate();
    byId("nomap").replaceChildren(h("b", {}, t(`map.none.${state.mapless}`)), h("p", {}, t("map.none.more")));
    byId("nomap").hidden = !state.mapless;
    byId("theme").title = t(`theme.${state.theme}`);
    byId("theme").setAttribute("aria-label", t(`theme.${state.theme}`));
    byId("lang").value = state.lang;
  };
  on(["lang", "mapless"], words);
  words();
  byId("lang").addEventListener("change", (event) => set({ lang: event.target.value }));

  const look = () => {
    document.documentElement.dataset.theme = state.theme;
    words();
  };
  on(["theme"], look);
  look();
  byId("theme").addEventListener("click", () => set({ theme: THEMES[(THEMES.indexOf(state.theme) + 1) % THEMES.length] }));

  const turn = () => TABS.forEach((name) => {
    const here = name === state.tab;
    byId(`tab-${name}`).setAttribute("aria-selected", String(here));
    byId(`tab-${name}`).tabIndex = here ? 0 : -1;
    byId(name).hidden = !here;
  });
  on(["tab"], turn);
  on(["tab", "alert"], () => {
    fold(false);
    document.body.classList.toggle("reading", state.tab === "alerts" && state.alert !== null);
  });
  turn();
  TABS.forEach((name, i) => {
    byId(`tab-${name}`).addEventListener("click", () => set({ tab: name }));
    byId(`tab-${name}`).addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!by) return;
      const next = TABS[(i + by + TABS.length) % TABS.length];
      set({ tab: next });
      byId(`tab-${next}`).focus();
    });
  });

  const fold = (folded) => {
    document.body.classList.toggle("folded", folded);
    byId("fold").setAttribute("aria-expanded", String(!folded));
  };
  byId("fold").addEventListener("click", () => fold(!document.body.classList.contains("folded")));
  byId("legend").open = matchMedia("(min-width: 900px)").matches;

  const chooser = byId("region");
  on(["regions", "region"], () => {
    chooser.replaceChildren(...state.regions.map((each) => h("option", { value: each.name }, each.title)));
    chooser.value = state.region ?? "";
    chooser.hidden = state.regions.length < 2;
    byId("title").classList.toggle("hidden", state.regions.length > 1);
  });
  chooser.addEventListener("change", () => {
    set({ region: chooser.value, day: "newest", days: [], areas: null, exposure: null, rain: null, alerts: null, alert: null, place: null, unfound: null });
    restartMap();
    loadAll();
  });
}

let drawing = false;

/** From nothing, or from a failure, to a page that keeps up by itself. */
async function begin(wait = 1000) {
  try {
    const some = await loadRegions();
    set({ trouble: null, loaded: true });
    if (!some) return;
  } catch (error) {
    set({ trouble: error });
    // Without a token there is no use in trying; whoever enters one begins anew.
    if (error.status !== 401 && error.status !== 403) setTimeout(() => begin(Math.min(wait * 2, 30000)), wait);
    return;
  }
  if (!drawing) {
    drawing = true;
    keepUp();
    startLayers();
    startMap();
  }
  loadAll();
}

startFrame();
startToken(begin);
startStatus();
startDays();
startNow();
startAlerts();
startDetails();
startSearch();
begin();

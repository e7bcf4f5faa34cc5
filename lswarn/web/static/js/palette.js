// What a colour means, once for the map and its legend. Colours of the ground get darker as it gets worse, so that they
// hold for the colour-blind and on a grey print; blue is what is exposed; an alert has a word beside its colour.

/** By class, 0 unknown to 5 very high: those of the class maps. */
export const CLASS = ["#a7abb3", "#fff6d5", "#fddf8b", "#f7a64a", "#e2603b", "#720d3d"];

/** By alert level: none, orange, red. */
export const LEVEL = ["#6b7480", "#e68a00", "#c00026"];
/** The same, dark enough for letters. */
export const LEVEL_TEXT = ["#3f4852", "#7a3d00", "#a00020"];

export const EXPOSED = "#0b57d0";

/** By rain grade. */
export const GRADE = { A: "#0f6b5c", B: "#2f8f7f", C: "#5f8f3a", D: "#9a6200", E: "#6f4f9c" };

const themes = {
  light: { land: "#eef0f1", ink: "#1b1f24", quiet: "#5c6570", road: "#7b838d", halo: "#ffffff", town: "#6d7681", hatch: ["#d9dce1", "#8b919b"] },
  dark: { land: "#14181d", ink: "#f2f4f6", quiet: "#aeb6c0", road: "#59626d", halo: "#0d1013", town: "#8a939e", hatch: ["#3b4149", "#828a95"] },
};

/** The map's own colours, light or dark. */
export const themed = (dark) => themes[dark ? "dark" : "light"];

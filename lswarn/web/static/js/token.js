// Asking for a token: to decide on messages, and to read where reading asks for one.

import { token } from "./api.js";
import { byId } from "./dom.js";
import { t } from "./i18n.js";
import { on, set } from "./state.js";

let after = () => {};

/** What to do once a token was entered or forgotten. */
export function startToken(changed) {
  after = changed;
  byId("token").addEventListener("click", () => openToken());
  const dialog = byId("token-dialog");
  dialog.addEventListener("close", () => {
    if (dialog.returnValue === "forget") token.set("");
    else if (dialog.returnValue === "keep") {
      token.set(byId("token-field").value.trim());
      setName(byId("token-by").value.trim());
    } else return;
    byId("token-field").value = "";
    label();
    set({ tokenChanged: Date.now() });
    after();
  });
  on(["lang"], label);
  label();
}

export function openToken() {
  const dialog = byId("token-dialog");
  dialog.returnValue = "";
  byId("token-by").value = name();
  dialog.showModal();
  byId("token-field").focus();
}

/** Who decides, as typed once before. */
export const name = () => sessionStorage.getItem("by") || "";
export const setName = (value) => sessionStorage.setItem("by", value);

function label() {
  const button = byId("token");
  const has = Boolean(token.get());
  button.classList.toggle("has", has);
  button.title = t(has ? "token.open.has" : "token.open");
  button.setAttribute("aria-label", button.title);
}

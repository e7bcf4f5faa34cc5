// Alerts, their history and their messages as they were sent; and, for whoever holds a token, deciding on them.

import { get, headers, post, token } from "./api.js";
import { byId, h, redraw } from "./dom.js";
import { date, instant, t } from "./i18n.js";
import { loadAlerts } from "./data.js";
import { levelPill } from "./now.js";
import { on, set, state } from "./state.js";
import { name, openToken, setName } from "./token.js";

const PAGE = 100;
let story = null; // the alert that is open, as the server tells it
let trouble = null;
const opened = new Set(); // messages whose text is shown, or was hidden by hand (as -id)
const maps = new Map(); // pictures by message

export function startAlerts() {
  on(["alerts", "alertsTrouble", "lang", "tokenChanged"], draw);
  on(["alert", "alerts", "tokenChanged"], read);
  on(["alerts"], () => {
    const count = state.alerts?.open.length || 0;
    byId("alert-count").textContent = String(count);
    byId("alert-count").hidden = !count;
  });
  draw();
}

async function read() {
  const id = state.alert;
  if (id === null) {
    story = null;
    return draw();
  }
  if (story?.alert.alert_id !== id) story = trouble = null;
  draw();
  try {
    const told = await get(`/api/alerts/${encodeURIComponent(id)}`);
    if (id === state.alert) [story, trouble] = [told, null];
  } catch (error) {
    if (id === state.alert) trouble = error;
  }
  return draw();
}

function draw() {
  const panel = byId("alerts");
  if (state.alert !== null) return redraw(panel, back(), story ? told(story) : h("p", { class: trouble ? "warned" : "soft" }, trouble ? t("alerts.failed", { why: trouble.message }) : t("loading")));
  if (state.alertsTrouble) return redraw(panel, h("p", { class: "warned" }, t("alerts.failed", { why: state.alertsTrouble.message })));
  if (!state.alerts) return redraw(panel, h("p", { class: "soft" }, t("loading")));
  const { open, past, rain, more, limit } = state.alerts;
  return redraw(panel,
    h("section", {}, h("h2", {}, t("alerts.open")), open.length ? h("ul", {}, open.map(item)) : h("p", { class: "warned" }, t("alerts.none"))),
    rain.length && h("section", {}, h("h2", {}, t("alerts.rain")), h("ol", { class: "story" }, rain.slice(0, 5).map((message) => entry(message, false)))),
    h("section", {}, h("h2", {}, t("alerts.past")), past.length ? h("ul", {}, past.map(item)) : h("p", { class: "soft" }, t("alerts.none.past")),
      more && limit < 1000 && h("button", { type: "button", class: "plain", "data-key": "more", onclick: () => loadAlerts(Math.min(limit + PAGE, 1000)) }, t("alerts.more"))));
}

function item(alert) {
  return h("li", {},
    h("button", { type: "button", class: `row edge-${alert.closed_on ? 0 : alert.level}`, "data-key": `alert ${alert.alert_id}`, onclick: () => set({ alert: alert.alert_id }) },
      h("span", { class: "grow" }, h("b", {}, alert.area_name),
        h("small", {}, t("alerts.opened", { day: date(alert.opened_on, "short") }), alert.closed_on ? `, ${t("alerts.closed", { day: date(alert.closed_on, "short") })}` : "")),
      alert.status !== "actual" && h("span", { class: "pill ahead" }, t(`status.${alert.status}`)),
      alert.outlook_only && h("span", { class: "pill ahead" }, t("alerts.outlook")),
      alert.drafts_waiting ? h("span", { class: "pill waiting" }, t("alerts.waiting")) : null,
      alert.closed_on ? h("span", { class: "pill level-0" }, t("state.closed")) : levelPill(alert.level),
      !alert.closed_on && alert.state === "easing" ? h("span", { class: "pill easing" }, t("state.easing")) : null));
}

const back = () => h("button", { type: "button", class: "plain back", "data-key": "back", onclick: () => set({ alert: null }) }, `‹ ${t("alerts.back")}`);

function told({ alert, messages: oldestFirst }) {
  const messages = [...oldestFirst].reverse();
  return [
    h("header", { class: "alert-head" }, h("h2", {}, alert.area_name), alert.closed_on ? h("span", { class: "pill level-0" }, t("state.closed")) : levelPill(alert.level),
      !alert.closed_on && alert.state !== "open" ? h("span", { class: `pill ${alert.state}` }, t(`state.${alert.state}`)) : null),
    h("p", { class: "soft" }, t("alerts.opened", { day: date(alert.opened_on) }), alert.closed_on ? `, ${t("alerts.closed", { day: date(alert.closed_on) })}` : "", alert.outlook_only ? `, ${t("alerts.outlook")}` : ""),
    h("h3", {}, t("alerts.history"), " ", h("small", {}, t("alerts.newest"))),
    h("ol", { class: "story" }, messages.map((message, i) => entry(message, i === 0))),
  ];
}

function entry(message, newest) {
  const id = message.message_id;
  const draft = message.approval === "waiting";
  const sent = Object.entries(message.deliveries).filter(([, n]) => n);
  const open = opened.has(id) || (newest && !opened.has(-id));
  const shown = h("details", { open, ontoggle: (event) => {
    opened.delete(event.target.open ? -id : id);
    opened.add(event.target.open ? id : -id);
    if (event.target.open) showPicture(message, event.target);
  } }, h("summary", { "data-key": `text ${id}` }, t(draft ? "alerts.message.draft" : "alerts.message")), h("pre", { tabindex: "0" }, message.text));
  if (open) showPicture(message, shown);
  return h("li", { class: `edge-${message.level}` },
    h("p", { class: "what" }, h("b", {}, t(`kind.${message.kind}`)), " ", message.level ? levelPill(message.level) : null, draft ? h("span", { class: "pill waiting" }, t("alerts.waiting")) : null),
    h("p", { class: "subject" }, message.subject),
    h("small", {}, t("alerts.about", { day: date(message.valid_day, "short"), at: message.issued_at ? instant(message.issued_at) : t("alerts.unissued") })),
    draft && message.review_until ? h("small", {}, t("alerts.until", { at: instant(message.review_until) })) : null,
    shown,
    h("small", {}, sent.length ? t("alerts.deliveries", { counts: sent.map(([status, n]) => `${n} ${t(`delivery.${status}`)}`).join(", ") }) : t("alerts.deliveries.none"), draft ? "" : ` · ${t(`approval.${message.approval}`)}`, message.decided_by ? ` (${[message.decided_by, message.reason].filter(Boolean).join(": ")})` : ""),
    message.acknowledged_at ? h("small", {}, t("alerts.acknowledged", { by: message.acknowledged_by, at: instant(message.acknowledged_at) })) : null,
    message.cap ? h("small", {}, h("a", { href: message.cap, target: "_blank", rel: "noopener" }, t("alerts.cap"))) : null,
    choices(message, draft));
}

/** The map that went with a message; asked for with the token, which an address could not carry. */
async function showPicture(message, into) {
  const id = message.message_id;
  if (!maps.has(id)) {
    maps.set(id, (async () => {
      const answer = await fetch(`/api/messages/${encodeURIComponent(id)}/map.png`, { headers: headers() });
      return answer.ok ? URL.createObjectURL(await answer.blob()) : null;
    })().catch(() => null));
  }
  const url = await maps.get(id);
  if (url && !into.querySelector("img")) into.querySelector("pre").before(h("img", { src: url, alt: t("alerts.map"), loading: "lazy" }));
}

function choices(message, draft) {
  const wanted = draft ? ["approve", "reject"] : message.issued_at && !message.acknowledged_at ? ["acknowledge"] : [];
  if (!wanted.length) return null;
  const key = (what) => `${what} ${message.message_id}`;
  if (!token.get()) return draft ? h("p", { class: "row-of" }, h("small", {}, t("alerts.token")), h("button", { type: "button", class: "plain", "data-key": key("token"), onclick: openToken }, t("token.open"))) : null;
  return h("p", { class: "row-of" }, wanted.map((what) => h("button", { type: "button", class: what === "approve" ? "main" : "plain boxed", "data-key": key(what), onclick: () => decide(what, message) }, t(`alerts.${what}`))));
}

function decide(what, message) {
  const dialog = byId("decide");
  const [by, reason, error] = ["decide-by", "decide-reason", "decide-error"].map(byId);
  byId("decide-title").textContent = t(`decide.${what}`);
  byId("decide-what").textContent = `${message.subject}. ${t(`decide.${what}.what`)}`;
  byId("decide-yes").textContent = t(`alerts.${what}`);
  [by.value, reason.value, error.textContent] = [name(), "", ""];
  byId("decide-yes").onclick = async (event) => {
    event.preventDefault();
    if (!by.value.trim() || (what === "reject" && !reason.value.trim())) {
      error.textContent = t(what === "reject" ? "decide.reason.needed" : "decide.by.needed");
      return;
    }
    setName(by.value.trim());
    byId("decide-yes").disabled = true;
    try {
      await post(`/api/messages/${encodeURIComponent(message.message_id)}/${what}`, { by: by.value.trim(), reason: reason.value.trim() });
      dialog.close();
      await read();
      loadAlerts();
    } catch (refusal) {
      error.textContent = refusal.status === 401 || refusal.status === 403 ? t("token.refused", { why: refusal.message }) : refusal.message;
    } finally {
      byId("decide-yes").disabled = false;
    }
  };
  dialog.showModal();
}

// What readers of screens need and Gradio (6.31) does not give: names of groups of choices and of boxes with a button beside their
// name, whether a part is open, and to hear what the page says, once it stands.
(() => {
  const OFTEN = 500 // ms from one look to the next
  const PLACES = ["#source-note", "#status", "#clip-status", "#grid-status", "#grid-cancelled"]
  const MADE = /^\d+ ms\b/
  const place = Object.assign(document.createElement("div"), { id: "aloud" })
  const aloud = Object.assign(document.createElement("p"), { role: "status" })
  place.attachShadow({ mode: "closed" }).append(aloud) // the page's own words stand in it once
  const seen = {}, spoken = {}
  let due = 0

  const say = text => {
    aloud.textContent = "" // so that the same is heard again
    setTimeout(() => (aloud.textContent = text), 100)
  }

  const hear = () => {
    const now = place => document.querySelector(`${place} [data-testid=markdown]`)?.textContent.trim() ?? ""
    const texts = PLACES.map(place => [place, now(place)])
    const news = texts.filter(([place, text]) => text === seen[place] && text !== (spoken[place] ?? "")).map(([place, text]) => {
      spoken[place] = text
      return MADE.test(text) ? "The picture is there." : text
    })
    if (news.some(Boolean)) say([...new Set(news)].join(" "))
    if (texts.some(([place, text]) => text !== seen[place])) soon()
    Object.assign(seen, Object.fromEntries(texts))
  }

  const look = () => {
    due = 0
    if (!place.isConnected) document.body.append(place)
    for (const group of document.querySelectorAll("fieldset.block, .block:has(> label > [data-testid=block-info])")) {
      const named = group.matches("fieldset") ? group : group.querySelector("[data-testid=textbox]")
      const name = group.querySelector("[data-testid=block-info]")?.textContent.trim()
      if (name && named && named.ariaLabel !== name) named.ariaLabel = name
    }
    for (const part of document.querySelectorAll("button.label-wrap")) {
      const open = String(part.classList.contains("open"))
      if (part.ariaExpanded !== open) part.ariaExpanded = open
    }
    hear()
  }

  const soon = () => (due ||= setTimeout(look, OFTEN))
  const all = { subtree: true, childList: true, characterData: true, attributeFilter: ["class"] }
  new MutationObserver(soon).observe(document.documentElement, all)
})()

// Inside another site's page, as on a Space, a visitor is known by a cookie that is for both pages together, and Chromium sends none
// of that kind with what it downloads (156): no file would be the visitor's. There files are fetched, which sends it, and handed over.
if (self !== top) addEventListener("click", async event => {
  const link = event.target.closest?.("a[download]")
  if (!link?.href.startsWith(`${location.origin}/`)) return
  event.preventDefault()
  const file = await fetch(link.href).then(answer => (answer.ok ? answer.blob() : null)).catch(() => null)
  const handed = document.createElement("a")
  handed.href = file ? URL.createObjectURL(file) : link.href // which the browser says does not come
  handed.download = link.download
  handed.click() // of no document, so that it is not heard here
  if (file) setTimeout(() => URL.revokeObjectURL(handed.href), 60000)
}, true)

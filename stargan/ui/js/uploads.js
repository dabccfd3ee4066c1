// Whoever puts another picture into a box while one is still on its way there means the other. In Gradio (6.31) what is uploaded takes
// the place of whatever has come since, and nothing is told of that before.
(() => {
  const fetch = window.fetch.bind(window)
  const pending = new Map() // from what gives an upload up to its box
  let used = null // the box that somebody has used last

  const giveUp = box => pending.forEach((of, upload) => of === box && upload.abort())
  const use = ({ target }) => {
    used = target.closest?.(".block") ?? null
    if (target.closest?.("#examples .tiles button, #as-source")) giveUp(document.getElementById("source"))
  }
  for (const kind of ["change", "click", "drop"]) addEventListener(kind, use, true)

  window.fetch = async (request, options) => {
    const path = new URL(request.url ?? request, location.href).pathname
    if (!/\/upload$/.test(path)) return fetch(request, options)
    if (used && !used.querySelector("input[multiple]")) giveUp(used)
    const upload = new AbortController()
    pending.set(upload, used)
    try {
      return await fetch(request, { ...options, signal: upload.signal })
    } catch (error) {
      if (!upload.signal.aborted) throw error
      return Response.json([]) // nothing has come, and nothing is wrong
    } finally {
      pending.delete(upload)
    }
  }
})()

// Where the network is away for a moment, Gradio (6.31) loads the page anew once it is back, and all that was chosen and made is
// gone. Here requests wait until it is back, and where an answer breaks off that comes bit by bit, what was under way ends with a
// sentence; the page stays as it is. A page that was started anew says itself what has gone. Where as many wait as may, Gradio refuses
// whatever is asked for next, and a new source would stand beside the picture of the last: that waits here, too.
(() => {
  const WAIT = 1000 // ms from one try to the next
  const ENDED = "The connection broke off, and what was under way has ended with it. Start it again."
  const LASTS = 15000 // ms for which that is said
  const MESSAGES = [{ msg: "unexpected_error", message: ENDED, success: false }, { msg: "close_stream" }]
  const fetch = window.fetch.bind(window)
  const said = Object.assign(document.createElement("p"), { id: "away", role: "status" })
  const waiting = { lost: 0, busy: 0 }
  let ended = 0

  const tell = (why, more) => {
    if (why) waiting[why] += more
    if (document.body && !said.isConnected) document.body.append(said)
    const lost = waiting.lost ? "The connection is lost. What you do goes on once it is back." : ""
    const busy = waiting.busy ? "Many are at work on this page. What you do goes on once there is room." : ""
    said.textContent = [ended ? ENDED : "", lost, busy].filter(Boolean).join(" ")
  }

  const end = () => {
    clearTimeout(ended)
    ended = setTimeout(() => tell("", (ended = 0)), LASTS)
    tell("", 0)
    return new TextEncoder().encode(MESSAGES.map(message => `data: ${JSON.stringify(message)}\n\n`).join(""))
  }

  // The answer to a request, once there is one.
  const asked = async (ask, signal) => {
    let told = ""
    try {
      for (;;) {
        let why = "busy"
        try {
          const answer = await ask()
          if (answer.status !== 503 || signal?.aborted) return answer
        } catch (error) {
          if (!(error instanceof TypeError) || signal?.aborted) throw error
          why = "lost"
        }
        await new Promise(done => setTimeout(done, WAIT))
        if (told === why) continue
        tell(told, -1)
        tell((told = why), 1)
      }
    } finally {
      tell(told, -1)
    }
  }

  // An answer that comes bit by bit. Where it breaks off, `further` gives what comes instead of the rest: a reader, or bytes.
  const stream = (answer, signal, further) => {
    if (!answer.ok || !answer.body) return answer
    let reader = answer.body.getReader()
    const pull = async controller => {
      try {
        const { done, value } = await reader.read()
        return done ? controller.close() : controller.enqueue(value)
      } catch (error) {
        if (signal?.aborted) return controller.error(error)
      }
      const rest = await further()
      if (!(rest instanceof Uint8Array)) return pull(controller, (reader = rest))
      controller.enqueue(rest)
      controller.close()
    }
    return new Response(new ReadableStream({ pull, cancel: reason => reader.cancel(reason) }), answer)
  }

  window.fetch = async (request, options) => {
    const path = new URL(request.url ?? request, location.href).pathname
    const ask = () => fetch(request instanceof Request ? request.clone() : request, options)
    const signal = options?.signal ?? request.signal
    if (/\/queue\/join$|\/run\/\w+$|\/component_server\/?$|\/upload$/.test(path)) return asked(ask, signal)
    if (/\/queue\/data$/.test(path)) return stream(await asked(ask, signal), signal, end)
    if (/\/heartbeat\/\w+$/.test(path)) {
      const again = async () => (await asked(ask, signal)).body.getReader()
      return stream(await asked(ask, signal), signal, again)
    }
    return fetch(request, options)
  }
})()

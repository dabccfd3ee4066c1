// The page is in English. Gradio (6.31) would put its own words among it in the browser's language, and call all of it that, by which
// screen readers pronounce it and browsers offer no translation.
for (const [name, value] of Object.entries({ language: "en", languages: ["en"] })) {
  Object.defineProperty(navigator, name, { get: () => value })
}

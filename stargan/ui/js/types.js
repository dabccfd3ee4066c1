// Browsers that do not know a file by its name (Chromium with IMG_1.HEIC, as telephones write it) give it no type, and Gradio's boxes
// (6.31) take pictures by their type. They get one before a box sees them.
(() => {
  const TYPES = { heic: "heic", heif: "heif", avif: "avif", jp2: "jp2", tif: "tiff", tiff: "tiff", webp: "webp" }
  const typed = file => {
    const kind = file.type ? "" : TYPES[file.name.split(".").at(-1).toLowerCase()]
    return kind ? new File([file], file.name, { type: `image/${kind}`, lastModified: file.lastModified }) : file
  }
  const lacking = files => [...(files ?? [])].some(file => typed(file) !== file)
  const given = files => {
    const all = new DataTransfer()
    for (const file of files) all.items.add(typed(file))
    return all
  }
  addEventListener("change", ({ target }) => {
    if (target.type === "file" && lacking(target.files)) target.files = given(target.files).files
  }, true)
  // A box that holds a picture lets go of it before it takes what was dropped, and the browser has taken that back by then. What it
  // gets here stays.
  addEventListener("drop", event => {
    const files = event.dataTransfer?.files
    if (!(event.isTrusted && files?.length) && !lacking(files)) return
    event.preventDefault()
    event.stopImmediatePropagation()
    event.target.dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: given(files) }))
  }, true)
  // What is let go of beside a box would be opened in place of the page.
  addEventListener("dragover", event => {
    if (event.defaultPrevented || !event.dataTransfer?.types.includes("Files")) return
    event.preventDefault()
    event.dataTransfer.dropEffect = "none"
  })
})()

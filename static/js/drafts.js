// What is being written is kept in this browser until it is posted: words, and where the uploads are.
const fields = ['title', 'text', 'tags']

export class Draft {
  constructor(form) {
    this.form = form
    this.name = `draft:${document.body.dataset.viewer}:${form.dataset.edit ?? 'new'}`
  }

  read() {
    try { return JSON.parse(localStorage.getItem(this.name)) ?? {} } catch { return {} }
  }

  save(uploads) {
    const words = Object.fromEntries(fields.map((name) => [name, this.form.elements[name].value]))
    const draft = { ...words, visibility: this.form.elements.visibility.value, uploads, key: this.key() }
    if (fields.some((name) => words[name]) || uploads.length) localStorage.setItem(this.name, JSON.stringify(draft))
    else this.clear()
  }

  // One key for one post, however often it is sent.
  key() {
    this.given ??= this.read().key ?? ([...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join(''))
    return this.given
  }

  clear() {
    localStorage.removeItem(this.name)
  }

  // Fills fields that the server left empty. Returns the uploads to go on with.
  restore() {
    const kept = this.read()
    let filled = false
    for (const name of fields) {
      const field = this.form.elements[name]
      if (kept[name] && !field.value) { field.value = kept[name]; filled = true; field.dispatchEvent(new Event('input')) }
    }
    if (filled && kept.visibility) this.form.elements.visibility.value = kept.visibility
    return { filled, uploads: kept.uploads ?? [] }
  }
}

import * as tus from 'tus-js-client'
import { icon } from './content.js'
import { kindOf, objection, sizeOf } from './kinds.js'

// The files of a post: each is uploaded by tus as soon as it is chosen, and can be paused, resumed, tried again or taken out.
const endpoint = '/api/v1/uploads'
const atOnce = 2
const pictures = new Set(['image', 'gif'])

function tool(name, label, action) {
  const made = document.createElement('button')
  made.type = 'button'
  made.className = 'btn bare round tiny'
  made.setAttribute('aria-label', label)
  made.title = label
  made.append(icon(name, 's'))
  made.addEventListener('click', action)
  return made
}

class Item {
  constructor(list, { file, name, size, kind, alt = '', url = '', done = false }) {
    Object.assign(this, { list, file, name, size, kind, url, sent: done ? size : 0, state: done ? 'done' : file ? 'waiting' : 'lost' })
    this.element = document.createElement('li')
    this.element.className = 'upload'
    this.build(alt)
    this.show()
  }

  build(alt) {
    const id = `upload-${crypto.getRandomValues(new Uint32Array(1))[0]}`
    const thumb = document.createElement('div')
    thumb.className = 'thumb'
    if (this.file && pictures.has(this.kind)) {
      const picture = document.createElement('img')
      picture.src = URL.createObjectURL(this.file)
      picture.alt = ''
      picture.addEventListener('error', () => picture.replaceWith(icon(this.kind)))
      thumb.append(picture)
    } else thumb.append(icon(this.kind))
    const name = document.createElement('p')
    name.className = 'filename'
    name.textContent = this.name
    this.tools = document.createElement('div')
    this.tools.className = 'tools'
    this.progress = document.createElement('progress')
    this.progress.max = 1
    this.progress.setAttribute('aria-label', `Upload of ${this.name}`)
    this.note = document.createElement('p')
    this.note.className = 'note hint'
    const state = document.createElement('div')
    state.className = 'state'
    state.append(this.progress, this.note)
    const field = document.createElement('div')
    field.className = 'field alt'
    const label = document.createElement('label')
    label.htmlFor = id
    label.textContent = this.kind === 'audio' ? 'What can be heard' : 'What it shows'
    this.alt = Object.assign(document.createElement('input'), { className: 'input', id, maxLength: 2000, value: alt, autocomplete: 'off' })
    this.alt.addEventListener('input', () => this.list.changed())
    field.append(label, this.alt)
    this.element.append(thumb, name, this.tools, state, field)
  }

  get id() { return this.url.split('/').pop() }
  get isOpen() { return ['waiting', 'sending'].includes(this.state) }

  begin() {
    this.set('sending')
    this.upload ??= new tus.Upload(this.file, {
      endpoint,
      chunkSize: 16 * 1024 * 1024,
      retryDelays: [0, 1000, 3000, 5000, 10000],
      metadata: { filename: this.file.name, filetype: this.file.type },
      removeFingerprintOnSuccess: true,
      onProgress: (sent) => { this.sent = sent; this.showProgress() },
      onUploadUrlAvailable: () => { this.url = new URL(this.upload.url, location).pathname; this.list.changed() },
      onSuccess: () => { this.url = new URL(this.upload.url, location).pathname; this.sent = this.size; this.set('done') },
      onError: (error) => this.fail(error),
    })
    if (this.upload.url) this.upload.start()
    else this.upload.findPreviousUploads().then((found) => {
      if (found.length) this.upload.resumeFromPreviousUpload(found[0])
      if (this.state === 'sending') this.upload.start()
    })
  }

  fail(error) {
    let reason = navigator.onLine ? 'The upload broke off.' : 'You are offline.'
    try { reason = JSON.parse(error.originalResponse.getBody()).error.message } catch { /* No answer came at all. */ }
    this.reason = reason
    this.set('failed')
  }

  pause() { this.upload?.abort(); this.set('paused') }
  resume() { this.set('waiting'); this.list.next() }

  retry() {
    this.upload = undefined
    this.sent = 0
    this.resume()
  }

  remove() {
    this.upload?.abort()
    if (this.url) fetch(this.url, { method: 'DELETE', headers: { 'Tus-Resumable': '1.0.0' } }).catch(() => {})
    this.list.drop(this)
  }

  set(state) {
    this.state = state
    this.show()
    this.list.changed()
    if (state === 'done' || state === 'failed' || state === 'paused') this.list.next()
  }

  showProgress() {
    this.progress.value = this.size ? this.sent / this.size : 0
    if (this.state === 'sending') this.note.textContent = `${sizeOf(this.sent)} of ${sizeOf(this.size)}`
  }

  show() {
    const had = this.tools.contains(document.activeElement)
    this.element.classList.toggle('failed', this.state === 'failed')
    this.element.classList.toggle('done', this.state === 'done')
    this.progress.hidden = this.state === 'lost'
    this.showProgress()
    this.note.textContent = {
      waiting: 'Waiting',
      sending: `${sizeOf(this.sent)} of ${sizeOf(this.size)}`,
      paused: `Paused at ${sizeOf(this.sent)} of ${sizeOf(this.size)}`,
      done: `Uploaded · ${sizeOf(this.size)}`,
      failed: this.reason,
      lost: 'Choose this file again, and the upload goes on where it stopped.',
    }[this.state]
    const tools = []
    if (this.state === 'sending' || this.state === 'waiting') tools.push(tool('pause', `Pause ${this.name}`, () => this.pause()))
    if (this.state === 'paused') tools.push(tool('play', `Resume ${this.name}`, () => this.resume()))
    if (this.state === 'failed') tools.push(tool('retry', `Try ${this.name} again`, () => this.retry()))
    tools.push(tool('close', `Take out ${this.name}`, () => this.remove()))
    this.tools.replaceChildren(...tools)
    if (had) this.tools.firstChild.focus()
  }
}

export class Uploads {
  constructor({ element, limits, left, present, changed, complain }) {
    Object.assign(this, { element, limits, quota: left, present, complain, onChange: changed, items: [] })
  }

  // What is left of the person's quota. Uploads of an earlier visit were counted when the page was made.
  get left() { return this.items.reduce((left, item) => left - (item.file ? item.size : 0), this.quota) }

  changed() { this.onChange() }

  add(files) {
    const problems = []
    for (const file of files) {
      const lost = this.items.find((item) => item.state === 'lost' && item.name === file.name && item.size === file.size)
      if (lost) {
        this.replace(lost, file)
        continue
      }
      const problem = objection(file, { ...this.limits, left: this.left }, [...this.present(), ...this.items.map((item) => item.kind)])
      if (problem) problems.push(problem)
      else this.put(new Item(this, { file, name: file.name, size: file.size, kind: kindOf(file) }))
    }
    this.complain([...new Set(problems)].join(' '))
    this.next()
  }

  put(item) {
    this.items.push(item)
    this.element.append(item.element)
    this.changed()
  }

  replace(lost, file) {
    const item = new Item(this, { file, name: file.name, size: file.size, kind: lost.kind, alt: lost.alt.value })
    this.items[this.items.indexOf(lost)] = item
    lost.element.replaceWith(item.element)
    this.changed()
  }

  // Uploads of an earlier visit: those that are done and still there, and those that need their file again.
  async restore(kept) {
    for (const one of kept) {
      const answer = one.done && await fetch(one.url, { method: 'HEAD', headers: { 'Tus-Resumable': '1.0.0' } }).catch(() => null)
      const isThere = answer?.ok && answer.headers.get('Upload-Offset') === String(one.size)
      this.put(new Item(this, { ...one, done: Boolean(isThere) }))
    }
  }

  next() {
    const free = atOnce - this.items.filter((item) => item.state === 'sending').length
    this.items.filter((item) => item.state === 'waiting').slice(0, Math.max(0, free)).forEach((item) => item.begin())
  }

  drop(item) {
    const at = this.items.indexOf(item)
    this.items.splice(at, 1)
    item.element.remove()
    const beside = this.items[at] ?? this.items[at - 1]
    beside?.tools.lastChild.focus()
    this.changed()
    this.next()
  }

  toKeep() {
    return this.items.map(({ name, size, kind, url, state, alt }) => ({ name, size, kind, url, alt: alt.value, done: state === 'done' }))
  }
}

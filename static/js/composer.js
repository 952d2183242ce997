import { goTo, icon } from './content.js'
import { Draft } from './drafts.js'
import { Uploads } from './uploads.js'

// Turns the plain form into one that uploads while people write, keeps a draft, and says what is wrong without a page load.
export function compose(form) {
  if (form.dataset.composed) return
  form.dataset.composed = 'true'
  const draft = new Draft(form)
  const area = buildArea(form)
  const submit = form.querySelector('[data-submit]')
  const label = submit.textContent
  let wanted = false

  const uploads = new Uploads({
    element: area.list,
    limits: Object.fromEntries(['image', 'gif', 'audio', 'video'].map((kind) => [kind, Number(form.dataset[`max${kind[0].toUpperCase()}${kind.slice(1)}`])])),
    left: Number(form.dataset.left ?? Infinity),
    present: () => [...form.querySelectorAll('[data-medium]')].filter((row) => !row.querySelector('[name=remove]').checked).map((row) => row.dataset.kind),
    changed: () => { form.toggleAttribute('data-uploading', uploads.items.some((item) => item.isOpen)); keep(); proceed() },
    complain: (message) => showErrors(form, message ? { file: message } : {}, ['file']),
  })

  let timer
  const keep = () => { clearTimeout(timer); timer = setTimeout(() => draft.save(uploads.toKeep()), 300) }
  const proceed = () => {
    if (!wanted) return
    const open = uploads.items.filter((item) => item.isOpen).length
    const stuck = uploads.items.find((item) => ['failed', 'lost', 'paused'].includes(item.state))
    if (stuck) { stop('One file is not here yet. Resume it, try it again, or take it out.'); return }
    submit.textContent = open ? `Waiting for ${open === 1 ? 'a file' : `${open} files`}…` : 'Sending…'
    if (!open) send()
  }
  const stop = (message) => {
    wanted = false
    submit.removeAttribute('aria-disabled')
    submit.textContent = label
    if (message) alert(form, message)
  }

  async function send() {
    wanted = false
    const answer = await fetch(form.dataset.edit ? `/api/v1/posts/${form.dataset.edit}` : '/api/v1/posts', {
      method: form.dataset.edit ? 'PATCH' : 'POST',
      headers: { 'Content-Type': 'application/json', ...(form.dataset.edit ? {} : { 'Idempotency-Key': draft.key() }) },
      body: JSON.stringify(body(form, uploads)),
    }).catch(() => null)
    if (answer?.ok) {
      const post = await answer.json()
      clearTimeout(timer)
      draft.clear()
      if (form.isConnected) goTo(post.url)
      else import('./toasts.js').then(({ toast }) => toast('Your post is sent.', { link: post.url, title: 'See it' }))
      return
    }
    const error = answer && (await answer.json().catch(() => null))?.error
    if (answer?.status === 401) { stop('You are logged out. Log in in another tab, then post again; nothing is lost.'); return }
    stop(error?.message ?? 'We cannot reach the site. What you wrote is kept; please try again in a moment.')
    showErrors(form, error?.fields ?? {})
  }

  form.addEventListener('submit', (event) => {
    event.preventDefault()
    if (wanted || submit.getAttribute('aria-disabled')) return
    alert(form, '')
    showErrors(form, {})
    wanted = true
    submit.setAttribute('aria-disabled', 'true')
    proceed()
  })
  form.addEventListener('input', keep)
  const take = () => { uploads.add([...area.input.files]); area.input.value = '' }
  area.input.addEventListener('change', take)
  takeDrops(form, area.drop, (files) => uploads.add(files))
  document.addEventListener('paste', (event) => {
    const files = form.isConnected ? [...event.clipboardData.files] : []
    if (files.length) { event.preventDefault(); uploads.add(files) }
  })
  arrange(form, keep)

  const kept = draft.restore()
  uploads.restore(kept.uploads)
  // What was written and chosen before this was here.
  if (area.input.files.length) take()
  else if (!form.dataset.edit) keep()
  if (!form.dataset.edit && (kept.filled || kept.uploads.length)) offerToDiscard(form, draft)
}

function body(form, uploads) {
  const { title, text, tags, visibility } = form.elements
  const sent = { title: title.value, text: text.value, tags: tags.value.trim() ? [tags.value] : [], visibility: visibility.value }
  if (uploads.items.length) {
    sent.upload = uploads.items.map((item) => item.id)
    sent.alt = uploads.items.map((item) => item.alt.value)
  }
  const rows = [...form.querySelectorAll('[data-medium]')]
  if (form.dataset.edit && rows.length) {
    const byPlace = [...rows].sort((one, other) => one.dataset.place - other.dataset.place)
    sent.alts = byPlace.map((row) => row.querySelector('[name=alts]').value)
    sent.order = rows.map((row) => row.dataset.medium)
    sent.remove = rows.filter((row) => row.querySelector('[name=remove]').checked).map((row) => row.dataset.medium)
  }
  return sent
}

// The drop area takes the place of the plain field and moves up to where the eye looks first.
function buildArea(form) {
  const field = form.querySelector('[data-files]')
  const input = field.querySelector('input[type=file]')
  const drop = document.createElement('label')
  drop.className = 'drop'
  drop.htmlFor = input.id
  const words = document.createElement('span')
  words.innerHTML = '<b>Choose files</b>, drop them here, or paste'
  const list = document.createElement('ul')
  list.className = 'uploads'
  input.removeAttribute('name')
  input.className = 'unseen-input'
  field.querySelector('label').className = 'unseen'
  drop.append(icon('image'), words, field.querySelector('#limits'))
  field.querySelector('#file-limits').replaceWith(input, drop, list)
  form.querySelector('[data-plain-alt]')?.remove()
  const title = form.querySelector('#title').closest('.field')
  if (!form.querySelector('[data-present]')) title.after(field)
  return { field, input, drop, list }
}

function takeDrops(form, drop, add) {
  let depth = 0
  const hasFiles = (event) => form.isConnected && event.dataTransfer?.types.includes('Files')
  addEventListener('dragenter', (event) => { if (hasFiles(event)) { depth++; drop.classList.add('over-it') } })
  addEventListener('dragleave', (event) => { if (hasFiles(event) && --depth <= 0) drop.classList.remove('over-it') })
  addEventListener('dragover', (event) => { if (hasFiles(event)) event.preventDefault() })
  addEventListener('drop', (event) => {
    depth = 0
    drop.classList.remove('over-it')
    if (!form.isConnected || !event.dataTransfer?.files.length) return
    event.preventDefault()
    add([...event.dataTransfer.files])
  })
}

// Present files of an edited post change places by buttons; no dragging is needed (WCAG 2.5.7).
function arrange(form, changed) {
  const list = form.querySelector('[data-present]')
  if (!list) return
  ;[...list.children].forEach((row, place) => { row.dataset.place = place })
  if (list.children.length < 2) return
  list.querySelectorAll('[data-tools]').forEach((tools) => { tools.hidden = false })
  list.addEventListener('click', (event) => {
    const button = event.target.closest('[data-up], [data-down]')
    if (!button) return
    const row = button.closest('li')
    if (button.matches('[data-up]')) row.previousElementSibling?.before(row)
    else row.nextElementSibling?.after(row)
    button.focus()
    changed()
  })
}

function offerToDiscard(form, draft) {
  const note = form.querySelector('[data-draft-note]')
  const discard = Object.assign(document.createElement('button'), { type: 'button', className: 'btn bare tiny', textContent: 'Start afresh' })
  discard.addEventListener('click', () => { draft.clear(); location.replace(location.pathname) })
  note.append('This is your draft from before. ', discard)
}

function alert(form, message) {
  const place = form.querySelector('[data-alert]')
  place.replaceChildren()
  if (!message) return
  const box = document.createElement('div')
  box.className = 'alert'
  box.setAttribute('role', 'alert')
  const words = document.createElement('p')
  words.textContent = message
  box.append(icon('warn'), words)
  place.append(box)
  place.scrollIntoView({ block: 'center' })
}

// What is wrong stands under its field and is tied to it; the first such field gets the focus.
function showErrors(form, fields, only) {
  for (const old of form.querySelectorAll('.error')) if (!only || only.includes(old.dataset.for ?? old.id.replace('-error', ''))) old.remove()
  let first
  for (const [name, message] of Object.entries(fields)) {
    const place = ['upload', 'file', 'alt'].includes(name) ? form.querySelector('#file') : form.querySelector(`#${CSS.escape(name)}`)
    if (!place) continue
    const words = document.createElement('p')
    words.className = 'error'
    words.id = `${place.id}-error`
    words.dataset.for = name
    words.setAttribute('role', 'alert')
    words.append(icon('warn'), message)
    place.closest('.field').append(words)
    place.setAttribute('aria-invalid', 'true')
    first ??= place
  }
  for (const input of form.querySelectorAll('[aria-invalid]')) if (!form.querySelector(`#${CSS.escape(input.id)}-error`)) input.removeAttribute('aria-invalid')
  if (first && !only) first.focus()
}

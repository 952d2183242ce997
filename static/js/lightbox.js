import { icon } from './content.js'

// Pictures of one post, large: arrows and swipes go on, Esc closes, and the focus goes back to where it was.
let dialog, picture, text, links, at, opener

function button(name, label, action) {
  const made = document.createElement('button')
  made.type = 'button'
  made.className = 'btn round'
  made.setAttribute('aria-label', label)
  made.append(icon(name))
  made.addEventListener('click', action)
  return made
}

function build() {
  dialog = document.createElement('dialog')
  dialog.className = 'lightbox'
  dialog.setAttribute('aria-label', 'Pictures')
  const stage = document.createElement('div')
  stage.className = 'stage'
  picture = document.createElement('img')
  stage.append(picture)
  const below = document.createElement('div')
  below.className = 'below'
  text = document.createElement('p')
  text.setAttribute('aria-live', 'polite')
  below.append(button('left', 'Previous picture', () => go(-1)), text, button('right', 'Next picture', () => go(1)), button('close', 'Close', () => dialog.close()))
  dialog.append(stage, below)
  dialog.addEventListener('keydown', (event) => {
    if (event.key === 'ArrowLeft') go(-1)
    if (event.key === 'ArrowRight') go(1)
  })
  stage.addEventListener('click', (event) => event.target === stage && dialog.close())
  let from
  stage.addEventListener('pointerdown', (event) => { from = event.clientX })
  stage.addEventListener('pointerup', (event) => { if (Math.abs(event.clientX - from) > 60) go(event.clientX < from ? 1 : -1) })
  dialog.addEventListener('close', () => { picture.removeAttribute('src'); opener?.focus() })
  document.body.append(dialog)
}

function go(by) {
  at = (at + by + links.length) % links.length
  const link = links[at]
  picture.src = link.dataset.lightbox
  picture.alt = link.dataset.alt
  text.textContent = [links.length > 1 ? `${at + 1} of ${links.length}` : '', link.dataset.alt].filter(Boolean).join(' · ')
  dialog.querySelectorAll('.below .btn:not(:last-child)').forEach((one) => { one.hidden = links.length < 2 })
}

export function show(link) {
  if (!dialog) build()
  opener = link
  links = [...link.closest('[data-post]').querySelectorAll('[data-lightbox]')]
  at = links.indexOf(link)
  dialog.showModal()
  go(0)
}

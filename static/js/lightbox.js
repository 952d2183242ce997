import { icon } from './content.js'
import { paint } from './thumbs.js'
import { zoomable } from './zoom.js'

// Pictures of one post, large. Arrows and swipes go on, or about when the picture is larger than its stage; + − 0, wheel,
// pinch and double tap zoom; Esc closes, and the focus goes back to where it was.
const STEP = 1.5
const PAN = 90
let dialog, stage, count, status, words, smaller, larger, turns, zoom
let links = []
let at = 0
let opener = null
let loaded = new Map()

function make(tag, className, ...children) {
  const made = document.createElement(tag)
  made.className = className
  made.append(...children)
  return made
}

function button(name, label, action, className = '') {
  const made = make('button', `btn round ${className}`, icon(name))
  made.type = 'button'
  made.setAttribute('aria-label', label)
  made.addEventListener('click', action)
  return made
}

function build() {
  count = make('p', 'count')
  count.setAttribute('aria-hidden', 'true')
  status = make('p', 'unseen')
  status.setAttribute('role', 'status')
  smaller = button('smaller', 'Zoom out', () => zoom.by(1 / STEP))
  larger = button('larger', 'Zoom in', () => zoom.by(STEP))
  turns = [button('left', 'Previous picture', () => go(-1), 'beside'), button('right', 'Next picture', () => go(1), 'beside')]
  const close = button('close', 'Close', () => dialog.close())
  close.autofocus = true
  stage = make('div', 'stage')
  words = make('p', 'below')
  dialog = make('dialog', 'lightbox', make('div', 'above', count, status, smaller, larger, close), stage, ...turns, words)
  dialog.setAttribute('aria-label', 'Pictures')
  zoom = zoomable(stage, { zoomed, swiped: go, missed: () => dialog.close(), several: () => links.length > 1 })
  dialog.addEventListener('keydown', onKey)
  dialog.addEventListener('close', () => {
    stage.replaceChildren()
    loaded = new Map()
    opener?.focus()
  })
  addEventListener('resize', () => dialog.open && display())
  document.body.append(dialog)
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return
  const pan = { ArrowLeft: [PAN, 0], ArrowRight: [-PAN, 0], ArrowUp: [0, PAN], ArrowDown: [0, -PAN] }[event.key]
  if (pan && event.target === words) return
  if (pan && zoom.scale > 1) zoom.move(...pan)
  else if (event.key === 'ArrowLeft') go(-1)
  else if (event.key === 'ArrowRight') go(1)
  else if (event.key === '+' || event.key === '=') zoom.by(STEP)
  else if (event.key === '-') zoom.by(1 / STEP)
  else if (event.key === '0') zoom.reset()
  else if (!pan) return
  event.preventDefault()
}

const around = (by) => (at + by + links.length) % links.length

function go(by) {
  if (by && links.length < 2) return
  at = around(by)
  say()
  display()
}

// The picture's own size, and the one that it has in the stage; small ones are not blown up.
function measure(link) {
  const image = link.querySelector('img')
  const [width, height] = [Number(image?.getAttribute('width')) || 1280, Number(image?.getAttribute('height')) || 960]
  const fit = Math.min(1, stage.clientWidth / width, stage.clientHeight / height)
  return { width, height, fit, shown: { width: Math.max(1, width * fit), height: Math.max(1, height * fit) } }
}

// Asks for no more pixels than are shown; what was loaded larger is never given back.
function ask(picture, pixels) {
  const wanted = Math.max(Math.ceil(pixels), parseInt(picture.lastChild.sizes) || 0)
  for (const part of picture.children) part.sizes = `${wanted}px`
}

function load(index) {
  if (!loaded.has(index)) {
    const link = links[index]
    const [source, image] = [link.querySelector('source'), link.querySelector('img')]
    const picture = document.createElement('picture')
    const img = document.createElement('img')
    if (source) picture.append(Object.assign(document.createElement('source'), { type: source.type, srcset: source.srcset }))
    picture.append(img)
    ask(picture, measure(link).shown.width)
    const frame = link.closest('[data-thumb]')
    if (frame?.classList.contains('clear')) img.className = 'clear'
    else if (frame) paint(img, frame.dataset.thumb)
    img.addEventListener('load', () => { img.style.backgroundImage = '' })
    img.addEventListener('error', () => { words.textContent = status.textContent = 'This picture could not be loaded.' })
    Object.assign(img, { alt: link.dataset.alt || `Picture ${index + 1} of ${links.length}`, draggable: false, decoding: 'async' })
    if (image?.srcset) img.srcset = image.srcset
    img.src = link.dataset.lightbox
    loaded.set(index, picture)
  }
  return loaded.get(index)
}

function display() {
  const picture = load(at)
  const { fit, shown } = measure(links[at])
  const img = picture.lastChild
  img.style.width = `${shown.width}px`
  img.style.height = `${shown.height}px`
  stage.replaceChildren(picture)
  zoom.show(img, shown, Math.min(16, Math.max(4, 2 / fit)))
  mark(1)
  for (const one of turns) one.hidden = links.length < 2
  const next = () => [1, -1].forEach((by) => load(around(by)))
  if (img.complete) next()
  else img.addEventListener('load', next, { once: true })
}

const place = () => links.length > 1 ? `${at + 1} of ${links.length}` : ''

function say() {
  const alt = links[at].dataset.alt
  words.textContent = alt
  words.hidden = !alt
  words.tabIndex = words.scrollHeight > words.clientHeight ? 0 : -1
  status.textContent = [place(), alt || 'No description'].filter(Boolean).join('. ')
}

const percent = (scale) => `${Math.round(scale * 100)} %`

function mark(scale) {
  count.textContent = [place(), scale > 1 ? percent(scale) : ''].filter(Boolean).join(' · ')
  smaller.setAttribute('aria-disabled', String(scale <= 1))
  larger.setAttribute('aria-disabled', String(scale >= zoom.most))
}

function zoomed(scale) {
  mark(scale)
  status.textContent = `Zoom ${percent(scale)}`
  ask(stage.firstChild, measure(links[at]).shown.width * scale)
}

export function show(link) {
  if (!dialog) build()
  opener = link
  links = [...link.closest('[data-post]').querySelectorAll('[data-lightbox]')]
  at = links.indexOf(link)
  dialog.showModal()
  go(0)
}

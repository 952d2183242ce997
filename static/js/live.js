import { toast } from './toasts.js'
import htmx from 'htmx.org'
import { refresh } from './content.js'
import { refreshSaid } from './said.js'

// News for the signed-in person: posts that are ready or failed take their place without a reload.
const signedIn = document.body.dataset.viewer
const single = () => document.querySelector('[data-single]')
let source
let timer
let last = ''

const pending = () => [...document.querySelectorAll('[data-processing]')]
const making = () => [...document.querySelectorAll('[data-making]')].map((sizes) => sizes.closest('[data-post]'))
const heard = new Map()
const isSilent = (element, seconds) => performance.now() - (heard.get(element.dataset.post) ?? 0) > seconds * 1000

const shapeOf = (element) => element.matches('.tile') ? 'tile' : element.hasAttribute('data-single') ? 'single' : 'card'

// The same post as it is now.
async function ask(element) {
  const answer = await fetch(`${element.dataset.address}/card?shape=${shapeOf(element)}`, { headers: { 'HX-Request': 'true' } }).catch(() => null)
  if (!answer?.ok || !element.isConnected) return null
  const template = document.createElement('template')
  template.innerHTML = await answer.text()
  return template.content.querySelector('[data-post]')
}

async function update(id) {
  const element = document.querySelector(`[data-post="${CSS.escape(id)}"][data-processing]`)
  if (!element) return
  const made = await ask(element)
  if (!made) return
  if (made.hasAttribute('data-processing')) {
    const now = made.querySelector('.working progress')
    if (now?.hasAttribute('value')) showProgress(element, now.value)
    return
  }
  const hadFocus = element.contains(document.activeElement)
  made.classList.add('settled')
  element.replaceWith(made)
  htmx.process(made)
  refresh()
  if (hadFocus) (made.querySelector('a[data-open]') ?? made).focus()
  if (shapeOf(made) === 'single') fillSimilar(made)
}

function showProgress(element, percent) {
  const bar = element.querySelector('.working progress')
  if (!bar) return
  bar.max = 100
  bar.value = Math.max(bar.hasAttribute('value') ? bar.value : 0, percent)
  element.querySelector('.percent').textContent = `${bar.value} %`
}

function showSize(line, state, percent) {
  line.dataset.state = state
  line.querySelector('progress').value = percent
  line.querySelector('span').textContent = state === 'running' ? `${percent} %` : state
}

// The other sizes of a film that can be watched: their line stays where it is until the page is left.
async function updateSizes(element) {
  const sizes = element?.querySelector('.sizes')
  const made = sizes && await ask(element)
  if (!made) return
  const now = made.querySelector('.sizes')
  if (now) {
    sizes.replaceWith(now)
    htmx.process(now)
  } else {
    sizes.removeAttribute('data-making')
    sizes.querySelectorAll('li').forEach((line) => showSize(line, 'ready', 100))
  }
}

// Who hears nothing, because news are away or there are none, asks; that also finds what was said while nobody listened.
let round = 0
setInterval(() => {
  if (document.hidden || !signedIn) return
  pending().filter((element) => isSilent(element, 4)).slice(0, 5).forEach((element) => update(element.dataset.post))
  if (++round % 5 === 0) making().filter((element) => isSilent(element, 9)).slice(0, 5).forEach(updateSizes)
}, 2000)

// One's new picture takes the old one's place wherever it is on the page.
function showFace(url) {
  const old = document.body.dataset.face
  for (const face of document.querySelectorAll(`img.face[src="${CSS.escape(old)}"]`)) {
    if (face.closest('#avatar, [data-self]') || face.closest('a, .byline, .tile')?.outerHTML.includes(`/u/${signedIn}"`)) face.src = url
  }
  document.body.dataset.face = url
  const note = document.querySelector('#avatar .alert.good p')
  if (note) note.textContent = 'Your new picture is here.'
  else toast('Your new picture is here.')
}

// A small picture may be done before this page listens: after an upload, ask once.
async function askForFace() {
  if (!document.querySelector('#avatar .alert.good')) return
  const answer = await fetch('/api/v1/me').catch(() => null)
  const me = answer?.ok ? await answer.json() : null
  if (me && me.avatar_url !== document.body.dataset.face) showFace(me.avatar_url)
}

// The post's like are known a moment after the post itself is ready.
function fillSimilar(element, tries = 8) {
  const wall = document.querySelector('#similar .wall')
  if (!wall || wall.querySelector('.tile') || !tries) return
  setTimeout(async () => {
    const answer = await fetch(`${element.dataset.address}/similar`, { headers: { 'HX-Request': 'true' } }).catch(() => null)
    if (answer?.ok) {
      wall.innerHTML = await answer.text()
      htmx.process(wall)
      refresh()
    }
    fillSimilar(element, tries - 1)
  }, 1500)
}

function on(event) {
  last = event.lastEventId || last
  const { id, url, pending: rest } = JSON.parse(event.data)
  const here = single()?.dataset.post === id
  const waits = document.querySelector(`[data-post="${CSS.escape(id)}"][data-processing]`)
  document.querySelectorAll(`[data-post="${CSS.escape(id)}"]`).forEach(updateSizes)
  if (waits) update(id)
  else if (event.type === 'post.failed') toast('A post of yours could not be prepared.', { link: url, title: 'See why' })
  else if (here) {
    fillSimilar(single())
    refreshSaid(url)
  }
  else if (!rest) toast('Your post is ready.', { link: url, title: 'See it' })
}

function onProgress(event) {
  const { id, percent, sizes } = JSON.parse(event.data)
  heard.set(id, performance.now())
  for (const element of document.querySelectorAll(`[data-post="${CSS.escape(id)}"]`)) {
    if (element.hasAttribute('data-processing')) showProgress(element, percent)
    for (const line of element.querySelectorAll('.sizes li')) {
      const done = sizes[line.dataset.size]
      if (done) showSize(line, 'running', done)
    }
  }
}

function open() {
  if (source || !signedIn || document.hidden) return
  source = new EventSource(last ? `/events?after=${encodeURIComponent(last)}` : '/events')
  source.addEventListener('post.ready', on)
  source.addEventListener('post.failed', on)
  source.addEventListener('post.progress', onProgress)
  source.addEventListener('avatar.ready', (event) => showFace(JSON.parse(event.data).url))
  source.addEventListener('avatar.failed', (event) => toast(JSON.parse(event.data).message))
  // What was said while nobody listened is read from the page's address again.
  source.addEventListener('open', () => {
    pending().forEach((element) => update(element.dataset.post))
    askForFace()
  })
  source.addEventListener('error', () => {
    if (source?.readyState !== EventSource.CLOSED) return
    close()
    timer = setTimeout(open, 3000 + Math.random() * 7000) // Not everybody at the same moment.
  })
}

function close() {
  clearTimeout(timer)
  source?.close()
  source = undefined
}

// An open stream would keep the page out of the back-forward cache, and hidden tabs need none.
addEventListener('pagehide', close)
addEventListener('pageshow', open)
document.addEventListener('visibilitychange', () => document.hidden ? close() : open())
open()

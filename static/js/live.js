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

async function update(id) {
  const element = document.querySelector(`[data-post="${CSS.escape(id)}"][data-processing]`)
  if (!element) return
  const shape = element.matches('.tile') ? 'tile' : element.hasAttribute('data-single') ? 'single' : 'card'
  const answer = await fetch(`${element.dataset.address}/card?shape=${shape}`, { headers: { 'HX-Request': 'true' } }).catch(() => null)
  if (!answer?.ok || !element.isConnected) return
  const template = document.createElement('template')
  template.innerHTML = await answer.text()
  const made = template.content.querySelector('[data-post]')
  if (!made) return
  if (made.hasAttribute('data-processing')) { showProgress(element, made); return }
  const hadFocus = element.contains(document.activeElement)
  made.classList.add('settled')
  element.replaceWith(made)
  htmx.process(made)
  refresh()
  if (hadFocus) (made.querySelector('a[data-open]') ?? made).focus()
  if (shape === 'single') fillSimilar(made)
}

function showProgress(element, made) {
  const [bar, now] = [element, made].map((one) => one.querySelector('.working progress'))
  if (!bar || !now?.hasAttribute('value')) return
  bar.max = now.max
  bar.value = now.value
  element.querySelector('.percent').textContent = `${now.value} %`
}

// How far a film is comes by asking; asking also finds what was said while nobody listened.
setInterval(() => {
  if (!document.hidden && signedIn) pending().slice(0, 5).forEach((element) => update(element.dataset.post))
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
  if (waits) update(id)
  else if (event.type === 'post.failed') toast('A post of yours could not be prepared.', { link: url, title: 'See why' })
  else if (here) {
    fillSimilar(single())
    refreshSaid(url)
  }
  else if (!rest) toast('Your post is ready.', { link: url, title: 'See it' })
}

function open() {
  if (source || !signedIn || document.hidden) return
  source = new EventSource(last ? `/events?after=${encodeURIComponent(last)}` : '/events')
  source.addEventListener('post.ready', on)
  source.addEventListener('post.failed', on)
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

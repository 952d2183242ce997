import htmx from 'htmx.org'
import { refresh } from './content.js'
import { audio, heard } from './hearing.js'

// While a sound plays, links bring the next page into this document, so that the sound goes on without a gap. Whatever is not
// a page of ours as this one is built goes the ordinary way. When nothing plays, links are ordinary links again; only the way
// back through pages that came like this stays here, because their addresses belong to this document.
const most = 6
const kept = new Map()
let last = 0
let turn
let y = scrollY

const still = matchMedia('(prefers-reduced-motion: reduce)')
const parts = (root) => [...root.querySelectorAll('body > [data-page]')]
const build = (root) => [...root.querySelectorAll('script[src], link[rel=stylesheet]')].map((one) => one.getAttribute('src') ?? one.getAttribute('href')).join(' ')
// Of the head, what says something about the page; the rest is the same everywhere.
const ofPage = (head) => [...head.querySelectorAll('link[rel=canonical], link[rel=alternate], meta[property], meta[name]:not([name=viewport], [name=htmx-config], [name=theme-color])')]
const isPlaying = () => heard() && !audio.paused
// Uploads live in their page: it is left the ordinary way, and what comes back to it finds it as it was.
const isUploading = (root) => root.querySelector?.('[data-uploading]')
const address = (url = location) => url.pathname + url.search

const news = document.createElement('p')
news.className = 'unseen'
news.setAttribute('role', 'status')

// Every entry of the history has a key; `on` is the key of the page that is shown, `shown` its address.
let on
let shown

// htmx leaves entries alone that say they are its own; that it does not fetch them again is seen to below.
function mark() {
  on = `${Date.now()}.${++last}`
  shown = address()
  history.replaceState({ ...history.state, htmx: true, page: on }, '')
}
mark()
addEventListener('scroll', () => { y = scrollY }, { passive: true })

async function fetchPage(url, signal) {
  const answer = await fetch(url, { signal, headers: { Accept: 'text/html' } })
  if (!answer.headers.get('Content-Type')?.startsWith('text/html') || new URL(answer.url).origin !== location.origin) {
    answer.body?.cancel()
    return null
  }
  const made = new DOMParser().parseFromString(await answer.text(), 'text/html')
  const isOurs = parts(made).length && build(made) === build(document) && made.body.dataset.viewer === document.body.dataset.viewer
  if (!isOurs) return null
  return {
    url: new URL(answer.url),
    title: made.title,
    head: ofPage(made.head).map((one) => document.importNode(one, true)),
    nodes: parts(made).map((one) => document.importNode(one, true)),
    face: made.body.dataset.face,
  }
}

function keep(left) {
  document.dispatchEvent(new CustomEvent('page:leave', { detail: { address: shown } }))
  kept.set(on, { address: shown, title: document.title, head: ofPage(document.head), nodes: parts(document), y: left, focus: document.activeElement, face: document.body.dataset.face })
  for (const [key, page] of kept) {
    if (kept.size <= most) break
    if (!page.nodes.some(isUploading)) kept.delete(key)
  }
}

function put(page) {
  for (const [key, one] of kept) if (one === page) kept.delete(key)
  document.querySelectorAll('dialog[open]').forEach((dialog) => dialog.close())
  const before = parts(document)
  before[0].before(...page.nodes)
  before.forEach((one) => one.remove())
  ofPage(document.head).forEach((one) => one.remove())
  document.head.append(...page.head)
  document.title = page.title
  if (page.face) document.body.dataset.face = page.face
  page.nodes.forEach((one) => htmx.process(one, true))
  refresh()
  document.dispatchEvent(new CustomEvent('page:arrive', { detail: { again: 'y' in page } }))
  document.body.append(news)
  news.textContent = page.title
}

function look(place, top, focused) {
  if (place) place.scrollIntoView()
  else scrollTo({ top, behavior: 'instant' })
  y = scrollY
  focused?.focus({ preventScroll: true })
}

const named = () => location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)))

// The fade between two pages is that of ordinary links.
async function fade(change) {
  if (!document.startViewTransition || still.matches || document.hidden) return change()
  const transition = document.startViewTransition(change)
  transition.ready.catch(() => {})
  transition.finished.catch(() => {})
  await transition.updateCallbackDone
}

function start() {
  turn?.abort()
  turn = new AbortController()
  const { signal } = turn
  const timer = setTimeout(() => document.documentElement.classList.add('turning'), 200)
  return { signal, end: () => { clearTimeout(timer); if (turn.signal === signal) document.documentElement.classList.remove('turning') } }
}

async function visit(url) {
  const { signal, end } = start()
  const alive = [...kept.values()].find((page) => page.address === address(url) && page.nodes.some(isUploading))
  const page = alive ?? await fetchPage(url, signal).catch(() => null)
  end()
  if (signal.aborted) return
  if (!page) return location.assign(url)
  const to = page.url ? address(page.url) + url.hash : url.href
  const way = url.href === location.href ? 'replaceState' : 'pushState'
  let isThere = false
  try {
    await fade(() => {
      keep(y)
      history[way]({ htmx: true }, '', to)
      isThere = true
      mark()
      put(page)
      look(named(), 0, document.querySelector('main [autofocus]') ?? document.getElementById('main'))
    })
  } catch {
    // A page that is half there is worse than a gap.
    if (isThere) location.reload()
    else location.assign(url)
  }
}

async function goBack() {
  const to = history.state?.page
  if (to === on || (!to && address() === shown)) return // Another place on the same page.
  const left = y
  const { signal, end } = start()
  let page = kept.get(to) ?? [...kept.values()].findLast((one) => one.address === address())
  page ??= await fetchPage(location.href, signal).catch(() => null)
  end()
  if (signal.aborted) return
  if (!page) return location.reload()
  keep(left)
  if (to) [on, shown] = [to, address()]
  else mark()
  put(page)
  const focused = page.focus?.isConnected && page.focus !== document.body ? page.focus : document.getElementById('main')
  look('y' in page ? null : named(), page.y ?? 0, focused)
}

addEventListener('popstate', goBack)
document.addEventListener('htmx:before:history:restore', (event) => event.preventDefault())
// Parts of a page that have addresses of their own, such as the kinds of a feed.
document.addEventListener('htmx:after:history:push', mark)
document.addEventListener('htmx:after:history:replace', mark)

function takes(url) {
  return isPlaying() && url.origin === location.origin && /^https?:$/.test(url.protocol) && !isUploading(document)
}

document.addEventListener('click', (event) => {
  const link = event.target.closest?.('a[href]')
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
  if ((link.target && link.target !== '_self') || link.hasAttribute('download')) return
  const url = new URL(link.href)
  if (!takes(url) || (url.hash && address(url) === address())) return
  event.preventDefault()
  visit(url)
})

document.addEventListener('submit', (event) => {
  const form = event.target
  if (event.defaultPrevented || form.method !== 'get' || (form.target && form.target !== '_self')) return
  const url = new URL(form.action)
  url.search = new URLSearchParams(new FormData(form, event.submitter))
  if (!takes(url)) return
  event.preventDefault()
  visit(url)
})

// Ways that scripts go.
document.addEventListener('page:go', (event) => {
  const url = new URL(event.detail, location.href)
  if (!takes(url)) return
  event.preventDefault()
  visit(url)
})

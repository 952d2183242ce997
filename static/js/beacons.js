import { fresh, onContent } from './content.js'

// What is seen, opened and played, sent in batches: ranking and views live on it.
const address = '/api/v1/interactions'
const most = 50
let waiting = []
let timer

function send() {
  clearTimeout(timer)
  timer = undefined
  while (waiting.length) {
    const body = JSON.stringify({ items: waiting.splice(0, most) })
    fetch(address, { method: 'POST', body, keepalive: true, headers: { 'Content-Type': 'application/json' } }).catch(() => {})
  }
}

export function report(element, kind, value) {
  const beacon = { post: element.dataset.post, kind, source: element.dataset.source ?? '' }
  if (element.dataset.position) beacon.position = Number(element.dataset.position)
  if (value !== undefined) beacon.value = value
  waiting.push(beacon)
  timer ??= setTimeout(send, 5000)
}

// Half of it in the window for a second is an impression.
const seen = new Map()
const watch = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) {
      seen.set(target, setTimeout(() => { watch.unobserve(target); report(target, 'impression') }, 1000))
    } else {
      clearTimeout(seen.get(target))
      seen.delete(target)
    }
  }
}, { threshold: 0.5 })

onContent((root) => {
  for (const post of fresh(root, '[data-post]', 'counted')) {
    if (post.hasAttribute('data-single')) report(post, 'open')
    else watch.observe(post)
  }
})

// How long a post's own page was looked at.
let single = document.querySelector('[data-single]')
let since = document.hidden ? 0 : performance.now()

function look() {
  since = document.hidden ? 0 : performance.now()
}

function leave() {
  if (single && since) {
    const seconds = Math.round((performance.now() - since) / 100) / 10
    since = 0
    if (seconds >= 1) report(single, 'dwell', Math.min(seconds, 3600))
  }
  send()
}

document.addEventListener('visibilitychange', () => document.hidden ? leave() : look())
document.addEventListener('page:leave', leave)
document.addEventListener('page:arrive', () => { single = document.querySelector('[data-single]'); look() })
addEventListener('pagehide', send)

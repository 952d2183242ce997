// Back finds the same place: lists that grew are kept for the way back, for this tab only.
const key = () => `list:${location.pathname}${location.search}:${document.body.dataset.viewer ?? ''}`
const lists = () => document.querySelectorAll('[data-endless]')
let first = [...lists()].map((list) => list.childElementCount)

function keep() {
  const grown = [...lists()].some((list, number) => list.childElementCount > (first[number] ?? 0))
  try {
    if (!grown) sessionStorage.removeItem(key())
    else sessionStorage.setItem(key(), JSON.stringify({ y: scrollY, lists: [...lists()].map((list) => list.dataset.plain ?? plain(list)) }))
  } catch { /* Too long a list to keep: the way back starts at the top. */ }
}

// Without what scripts added: they add it again.
function plain(list) {
  const copy = list.cloneNode(true)
  copy.querySelectorAll('.over, .wave.done').forEach((element) => element.remove())
  copy.querySelectorAll('[style]').forEach((element) => element.removeAttribute('style'))
  copy.querySelectorAll('audio[hidden]').forEach((audio) => { audio.hidden = false; audio.controls = true })
  copy.querySelectorAll('.on').forEach((element) => element.classList.remove('on'))
  return copy.innerHTML
}

function restore() {
  if (performance.getEntriesByType('navigation')[0]?.type !== 'back_forward') return sessionStorage.removeItem(key())
  const kept = JSON.parse(sessionStorage.getItem(key()) ?? 'null')
  if (!kept) return
  lists().forEach((list, number) => { if (kept.lists[number]) list.innerHTML = kept.lists[number] })
  first = [...lists()].map(() => 0)
  history.scrollRestoration = 'manual'
  requestAnimationFrame(() => { scrollTo(0, kept.y); history.scrollRestoration = 'auto' })
}

addEventListener('pagehide', keep)
document.addEventListener('submit', (event) => event.target.action?.endsWith('/logout') && sessionStorage.clear())
restore()

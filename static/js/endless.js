// Back finds the same place: lists that grew are kept for the way back, for this tab only.
const here = () => location.pathname + location.search
const key = (address) => `list:${address}:${document.body.dataset.viewer ?? ''}`
const lists = () => document.querySelectorAll('[data-endless]')
let first = [...lists()].map((list) => list.childElementCount)

function keep(address = here()) {
  const grown = [...lists()].some((list, number) => list.childElementCount > (first[number] ?? 0))
  try {
    if (!grown) sessionStorage.removeItem(key(address))
    else sessionStorage.setItem(key(address), JSON.stringify({ y: scrollY, lists: [...lists()].map((list) => list.dataset.plain ?? plain(list)) }))
  } catch { /* Too long a list to keep: the way back starts at the top. */ }
}

// Without what scripts added: they add it again.
function plain(list) {
  const copy = list.cloneNode(true)
  copy.querySelectorAll('.over, .wave.done, .player, .player-frozen, .preview').forEach((element) => element.remove())
  copy.querySelectorAll('[style]').forEach((element) => element.removeAttribute('style'))
  copy.querySelectorAll('audio[hidden]').forEach((audio) => { audio.hidden = false; audio.controls = true })
  copy.querySelectorAll('.on').forEach((element) => element.classList.remove('on'))
  return copy.innerHTML
}

function restore() {
  if (performance.getEntriesByType('navigation')[0]?.type !== 'back_forward') return sessionStorage.removeItem(key(here()))
  const kept = JSON.parse(sessionStorage.getItem(key(here())) ?? 'null')
  if (!kept) return
  lists().forEach((list, number) => { if (kept.lists[number]) list.innerHTML = kept.lists[number] })
  first = [...lists()].map(() => 0)
  history.scrollRestoration = 'manual'
  requestAnimationFrame(() => { scrollTo(0, kept.y); history.scrollRestoration = 'auto' })
}

addEventListener('pagehide', () => keep())
document.addEventListener('page:leave', (event) => keep(event.detail.address))
document.addEventListener('page:arrive', (event) => { first = [...lists()].map((list) => event.detail.again ? 0 : list.childElementCount) })
document.addEventListener('submit', (event) => event.target.action?.endsWith('/logout') && sessionStorage.clear())
restore()

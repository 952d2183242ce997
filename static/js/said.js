import { fresh } from './content.js'
import { playFilm } from './films.js'

// A time in the transcript jumps to its place; the line that is heard is marked and kept in sight.
const places = ['[data-single]', '.captions-player']
const find = (part) => document.querySelector(places.map((place) => `${place} ${part}`).join())
const player = () => find('[data-sound]')?.player ?? find('video')

function jump(seconds) {
  const medium = player()
  const film = medium.closest?.('[data-film]')
  if (film) return playFilm(film, seconds)
  const go = () => {
    medium.currentTime = seconds
    medium.play()?.catch(() => {})
  }
  if (medium.readyState) return go()
  medium.addEventListener('loadedmetadata', go, { once: true })
  medium.preload = 'metadata'
}

document.addEventListener('click', (event) => {
  const link = event.target.closest('a[data-seek]')
  if (!link || !player() || event.metaKey || event.ctrlKey || event.shiftKey || event.button) return
  event.preventDefault()
  history.replaceState(history.state, '', link.href)
  jump(Number(link.dataset.seek))
})

function follow(section) {
  const links = [...section.querySelectorAll('a[data-seek]')]
  const list = section.querySelector('.said-lines')
  const medium = player()
  if (!links.length || !medium) return
  medium.addEventListener('timeupdate', () => {
    const at = links.findLastIndex((link) => Number(link.dataset.seek) <= medium.currentTime + 0.05)
    const now = links[at]?.parentElement
    const before = list.querySelector('[aria-current]')
    if (now === before) return
    before?.removeAttribute('aria-current')
    if (!now) return
    now.setAttribute('aria-current', 'true')
    if (!list.matches(':hover, :focus-within')) list.scrollTop = now.offsetTop - list.offsetTop - list.clientHeight / 3
  })
}

// Words that were heard after the page was opened take their place in it.
export async function refreshSaid(address) {
  const section = document.querySelector('[data-said][data-pending]')
  if (!section || !section.dataset.address.startsWith(address)) return
  const answer = await fetch(section.dataset.address, { headers: { 'HX-Request': 'true' } }).catch(() => null)
  if (!answer?.ok || !section.isConnected) return
  const template = document.createElement('template')
  template.innerHTML = await answer.text()
  const made = template.content.querySelector('[data-said]')
  if (!made) return
  section.replaceWith(made)
  start(document)
}

export function start(root) {
  fresh(root, '[data-said]', 'said').forEach(follow)
}

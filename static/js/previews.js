// A few silent seconds in place of the poster, for whoever rests a pointer or the keyboard's focus on a card. Nothing is
// loaded before that, nothing at all on touch, where less motion is wanted or where bytes are dear.
const fine = matchMedia('(hover: hover) and (pointer: fine)')
const still = matchMedia('(prefers-reduced-motion: reduce)')
const patience = 300
const isWelcome = () => fine.matches && !still.matches && !navigator.connection?.saveData

export function enhancePreview(card) {
  let timer
  let film

  function show() {
    film = document.createElement('video')
    Object.assign(film, { className: 'preview', muted: true, loop: true, playsInline: true, disablePictureInPicture: true, tabIndex: -1, src: card.dataset.preview })
    film.setAttribute('aria-hidden', 'true')
    film.addEventListener('playing', () => film?.classList.add('shown'), { once: true })
    film.addEventListener('error', end, { once: true })
    card.querySelector('video, img').after(film)
    film.play().catch(() => {})
  }

  function begin() {
    if (timer || film || !isWelcome() || card.classList.contains('on')) return
    timer = setTimeout(show, patience)
  }

  function end() {
    clearTimeout(timer)
    timer = undefined
    if (!film) return
    film.removeAttribute('src')
    film.load()
    film.remove()
    film = undefined
  }

  card.addEventListener('pointerenter', begin)
  card.addEventListener('pointerleave', end)
  card.addEventListener('focusin', (event) => event.target.matches(':focus-visible') && begin())
  card.addEventListener('focusout', end)
  card.addEventListener('click', end)
}

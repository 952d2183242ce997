import { clock, icon } from '../content.js'
import { make } from '../elements.js'

// What the player says: what a key just did, where it went on from, and what went wrong.
const WORDS = {
  2: 'The connection broke while the video was loading.',
  3: 'This browser cannot decode the video.',
  4: 'The video could not be loaded.',
}

export function createSay({ onRetry, onAgain }) {
  const note = make('p', 'player-note')
  note.setAttribute('role', 'status')
  const offer = make('div', 'player-offer')
  const trouble = make('div', 'player-trouble')
  trouble.setAttribute('role', 'alert')
  offer.hidden = trouble.hidden = true
  const element = make('div', 'player-say', note, offer, trouble)
  let timer

  function act(label, name, action) {
    const made = make('button', 'player-act', icon(name, 's'), label)
    made.type = 'button'
    made.addEventListener('click', action)
    return made
  }

  return {
    element,
    note(words) {
      note.textContent = words
      clearTimeout(timer)
      timer = setTimeout(() => { note.textContent = '' }, 1600)
    },
    offer(seconds) {
      offer.replaceChildren(`Resumed at ${clock(seconds)}`, act('Start over', 'retry', () => {
        offer.hidden = true
        onAgain()
      }))
      offer.hidden = false
      const leave = () => offer.matches(':hover, :focus-within') ? setTimeout(leave, 4000) : (offer.hidden = true)
      setTimeout(leave, 12_000)
    },
    trouble(error) {
      const why = navigator.onLine ? WORDS[error?.code] ?? WORDS[4] : 'You are offline.'
      trouble.replaceChildren(make('p', '', why), act('Try again', 'retry', () => {
        trouble.hidden = true
        onRetry()
      }))
      trouble.hidden = false
    },
    calm() { trouble.hidden = true },
  }
}

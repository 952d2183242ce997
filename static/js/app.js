// Everything a page needs at once; the composer and the lightbox come when they are wanted.
import 'htmx.org'
import { onContent } from './content.js'
import './admin.js'
import './beacons.js'
import './confirm.js'
import './endless.js'
import './follow.js'
import './keys.js'
import './live.js'
import './menus.js'
import './times.js'
import './toasts.js'
import { start as startMedia } from './media.js'
import { start as startSound } from './sound.js'
import { start as startSaid } from './said.js'
import { start as startThumbs } from './thumbs.js'
import { start as startCounts } from './counts.js'
import { start as startThemes } from './themes.js'

onContent(startThumbs)
onContent(startMedia)
onContent(startSound)
onContent(startSaid)
onContent(startCounts)
onContent(startThemes)
// The chosen chip may lie outside of its row on a narrow screen.
onContent((root) => root.querySelectorAll('.scroll > [aria-current]').forEach((chip) => {
  const row = chip.parentElement
  if (chip.offsetLeft + chip.offsetWidth > row.clientWidth) row.scrollLeft = chip.offsetLeft - 24
}))
onContent((root) => {
  for (const form of root.querySelectorAll('form[data-composer]')) {
    import('./composer.js').then(({ compose }) => compose(form))
  }
})

document.addEventListener('click', (event) => {
  const link = event.target.closest('a[data-lightbox]')
  if (!link || event.metaKey || event.ctrlKey || event.shiftKey || event.button) return
  event.preventDefault()
  import('./lightbox.js').then(({ show }) => show(link))
})

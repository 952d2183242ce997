import { onContent } from './content.js'

// What only works with scripts is shown by them.
onContent((root) => root.querySelectorAll('[data-scripted]').forEach((element) => { element.hidden = false }))

// Nobody looks at a hidden tab: its live part asks again when it is seen.
document.addEventListener('htmx:before:request', (event) => {
  if (document.hidden && event.detail.ctx?.sourceElement?.matches?.('[data-live]')) event.preventDefault()
})

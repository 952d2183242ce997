import { fresh, goTo, onContent } from './content.js'

// j k: next and previous post · n: new post · /: search · g: home · ?: this list. Off in fields, and for whoever turns them off.
const setting = 'keys'
export const isOn = () => localStorage.getItem(setting) !== 'off'
const help = [['j', 'Next post'], ['k', 'Previous post'], ['Enter', 'Open the post'], ['n', 'New post'], ['/', 'Search'], ['g', 'Home'], ['?', 'This list'], ['Esc', 'Close']]

function step(by) {
  const posts = [...document.querySelectorAll('main .post:not([data-single]), main .tile')]
  if (!posts.length) return
  const here = posts.findIndex((post) => post.contains(document.activeElement))
  const next = here < 0 ? posts.find((post) => post.getBoundingClientRect().bottom > 80) ?? posts[0] : posts[Math.min(Math.max(here + by, 0), posts.length - 1)]
  const target = next.matches('.tile') ? next.querySelector('a.to') : next
  target.focus({ preventScroll: true })
  next.scrollIntoView({ block: 'start', behavior: matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth' })
}

export function showKeys(list, title) {
  const dialog = document.createElement('dialog')
  dialog.className = 'dialog'
  dialog.setAttribute('aria-label', title)
  dialog.innerHTML = `<div class="stack tight"><h2>${title}</h2><dl class="keys">${list.map(([key, what]) => `<dt><kbd>${key}</kbd></dt><dd>${what}</dd>`).join('')}</dl><p class="dim">They can be turned off in the settings.</p><div class="actions"><button class="btn" type="button">Close</button></div></div>`
  dialog.addEventListener('close', () => dialog.remove())
  dialog.addEventListener('click', (event) => (event.target === dialog || event.target.closest('button')) && dialog.close())
  document.body.append(dialog)
  dialog.showModal()
}
const show = () => showKeys(help, 'Keyboard shortcuts')

const actions = {
  j: () => step(1),
  k: () => step(-1),
  n: () => goTo('/create'),
  g: () => goTo('/'),
  '/': () => { const field = document.getElementById('q'); field ? field.focus() : goTo('/search') },
  '?': show,
  Enter: () => document.activeElement.matches?.('article.post') && document.activeElement.querySelector('a[data-open]')?.click(),
}

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || !isOn()) return
  if (event.target.closest('input, textarea, select, [contenteditable], dialog')) return
  if (event.key === 'Enter' && event.target.closest('a, button, summary')) return
  const action = actions[event.key]
  if (!action) return
  if (event.key !== 'Enter') event.preventDefault()
  action()
})

onContent((root) => {
  for (const label of fresh(root, '[data-keys-switch]', 'keys')) {
    label.hidden = false
    const box = label.querySelector('input')
    box.checked = isOn()
    box.addEventListener('change', () => localStorage.setItem(setting, box.checked ? 'on' : 'off'))
  }
  for (const opener of fresh(root, '[data-keys]', 'keys')) {
    opener.hidden = false
    opener.addEventListener('click', show)
  }
})

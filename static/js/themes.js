import { fresh } from './content.js'

// Puts a theme on at once and keeps it on the server; the plain form does the same with a page load.
async function choose(form, name) {
  const before = document.documentElement.dataset.theme
  const put = (theme) => {
    document.documentElement.dataset.theme = theme
    for (const button of document.querySelectorAll('.swatch')) button.setAttribute('aria-pressed', String(button.value === theme))
    for (const radio of document.querySelectorAll('[data-theme-form] [name=theme]')) radio.checked = radio.value === theme
  }
  put(name)
  const body = new URLSearchParams({ theme: name, next: '/' })
  const answer = await fetch(form.action, { method: 'POST', body, headers: { 'HX-Request': 'true' } }).catch(() => null)
  if (!answer?.ok) {
    put(before)
    const { toast } = await import('./toasts.js')
    toast('The theme could not be kept. Please try again.')
  }
}

export function start(root) {
  for (const form of fresh(root, '[data-theme-picker]', 'picker')) {
    form.addEventListener('submit', (event) => {
      if (!event.submitter) return
      event.preventDefault()
      choose(form, event.submitter.value)
    })
  }
  for (const form of fresh(root, '[data-theme-form]', 'themes')) {
    form.addEventListener('change', (event) => event.target.name === 'theme' && choose(form, event.target.value))
  }
}
